//! The framing of clear-signed texts: RFC 9580 section 7.

use std::io::Read;

use pgp::armor::{BlockType, Dearmor};
use pgp::packet::{Packet, PacketParser, Signature};

use super::{MAX_LEN, OpenPgpError};

/// A message taken apart; nothing about it is verified yet.
pub(super) struct SignedMessage {
    text: String,
    signatures: Vec<Signature>,
}

const BEGIN_MESSAGE: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const BEGIN_SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END_SIGNATURE: &str = "-----END PGP SIGNATURE-----";
/// A release is signed by two to four keys; each signature costs a verification.
const MAX_SIGNATURES: usize = 32;

impl SignedMessage {
    /// Takes a message apart that must be one clear-signed text from its first to its last line.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, OpenPgpError> {
        if bytes.len() > MAX_LEN {
            return Err(OpenPgpError::TooLong(bytes.len()));
        }
        let message = std::str::from_utf8(bytes).map_err(|_| OpenPgpError::Framing("it is not UTF-8"))?;
        let mut lines = message.split_inclusive('\n');
        if lines.next().map(trimmed) != Some(BEGIN_MESSAGE) {
            return Err(OpenPgpError::Framing("its first line is not BEGIN PGP SIGNED MESSAGE"));
        }
        skip_headers(&mut lines)?;
        let text = take_text(&mut lines)?;
        let block = take_signature_block(&mut lines)?;
        if lines.any(|line| !trimmed(line).is_empty()) {
            return Err(OpenPgpError::Framing("there is text after the signature"));
        }
        Ok(Self { text, signatures: parse_signatures(&block)? })
    }

    /// The text as it is hashed: lines end in CR LF.
    pub(super) fn hashed_text(&self) -> String {
        self.text.replace('\n', "\r\n")
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    pub(super) fn signatures(&self) -> &[Signature] {
        &self.signatures
    }
}

/// Without its line end and the white space before it, which no signature covers.
fn trimmed(line: &str) -> &str {
    line.trim_end_matches(['\n', '\r', ' ', '\t'])
}

fn skip_headers<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Result<(), OpenPgpError> {
    for line in lines {
        match trimmed(line) {
            "" => return Ok(()),
            header if header.starts_with("Hash: ") => {}
            // Anything else could be read as signed text by a laxer reader: the RFC allows no other header.
            _ => return Err(OpenPgpError::Framing("it has a header other than Hash")),
        }
    }
    Err(OpenPgpError::Framing("it ends within its headers"))
}

/// The lines up to the signature. The line end before the signature is no part of the text.
fn take_text<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Result<String, OpenPgpError> {
    let mut text = String::new();
    let mut first = true;
    for line in lines {
        let line = trimmed(line);
        if line == BEGIN_SIGNATURE {
            return Ok(text);
        }
        let line = match line.strip_prefix("- ") {
            Some(escaped) => escaped,
            // "- " with nothing after it loses its blank to the trimming above.
            None if line == "-" => "",
            None if line.starts_with('-') => return Err(OpenPgpError::Framing("a line begins with an unescaped dash")),
            None => line,
        };
        if !first {
            text.push('\n');
        }
        first = false;
        text.push_str(line);
    }
    Err(OpenPgpError::Framing("it has no signature"))
}

fn take_signature_block<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Result<String, OpenPgpError> {
    let mut block = format!("{BEGIN_SIGNATURE}\n");
    for line in lines {
        block.push_str(trimmed(line));
        block.push('\n');
        if trimmed(line) == END_SIGNATURE {
            return Ok(block);
        }
    }
    Err(OpenPgpError::Framing("its signature has no end"))
}

fn parse_signatures(block: &str) -> Result<Vec<Signature>, OpenPgpError> {
    let damaged = |error: &dyn std::fmt::Display| OpenPgpError::SignatureBlock(error.to_string());
    let mut dearmor = Dearmor::new(block.as_bytes());
    dearmor.read_header().map_err(|error| damaged(&error))?;
    if dearmor.typ != Some(BlockType::Signature) {
        return Err(OpenPgpError::SignatureBlock("it is armour of another kind".to_owned()));
    }
    let mut bytes = Vec::new();
    dearmor.read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
    let mut signatures = Vec::new();
    for packet in PacketParser::new(bytes.as_slice()).take(MAX_SIGNATURES) {
        match packet {
            Ok(Packet::Signature(signature)) => signatures.push(signature),
            Ok(_) => return Err(OpenPgpError::SignatureBlock("it holds something other than signatures".to_owned())),
            // A signature of a version or algorithm not known here: another one may be good.
            Err(pgp::errors::Error::Unsupported { .. }) => {}
            Err(error) => return Err(damaged(&error)),
        }
    }
    Ok(signatures)
}
