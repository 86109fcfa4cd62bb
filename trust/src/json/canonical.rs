//! The two ways a value is written.

use super::{Json, Object};

pub(super) fn encode(value: &Json) -> Vec<u8> {
    let mut out = Vec::new();
    write(value, &mut out);
    out
}

pub(super) fn encode_pretty(value: &Json) -> Vec<u8> {
    let mut out = Vec::new();
    write_pretty(value, 0, &mut out);
    out.push(b'\n');
    out
}

fn write(value: &Json, out: &mut Vec<u8>) {
    match value {
        Json::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Json::Object(members) => {
            out.push(b'{');
            for (index, (name, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_canonical_string(name, out);
                out.push(b':');
                write(value, out);
            }
            out.push(b'}');
        }
        Json::String(text) => write_canonical_string(text, out),
        plain => write_plain(plain, out),
    }
}

fn write_plain(value: &Json, out: &mut Vec<u8>) {
    match value {
        Json::Bool(true) => out.extend(b"true"),
        Json::Bool(false) => out.extend(b"false"),
        Json::Natural(number) => out.extend(number.to_string().bytes()),
        Json::Negative(number) => out.extend(number.to_string().bytes()),
        _ => out.extend(b"null"),
    }
}

/// Control characters stay as they are: canonical JSON is to be hashed, not read back.
fn write_canonical_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text.as_bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

fn write_pretty(value: &Json, level: usize, out: &mut Vec<u8>) {
    match value {
        Json::Array(items) if !items.is_empty() => {
            let lines = items.iter().map(|item| move |out: &mut Vec<u8>| write_pretty(item, level + 1, out));
            write_lines([b'[', b']'], lines, level, out);
        }
        Json::Object(members) if !members.is_empty() => write_members(members, level, out),
        Json::Array(_) => out.extend(b"[]"),
        Json::Object(_) => out.extend(b"{}"),
        Json::String(text) => write_string(text, out),
        plain => write_plain(plain, out),
    }
}

fn write_members(members: &Object, level: usize, out: &mut Vec<u8>) {
    let lines = members.iter().map(|(name, value)| {
        move |out: &mut Vec<u8>| {
            write_string(name, out);
            out.extend(b": ");
            write_pretty(value, level + 1, out);
        }
    });
    write_lines([b'{', b'}'], lines, level, out);
}

fn write_lines<L: FnOnce(&mut Vec<u8>)>(
    [open, close]: [u8; 2],
    lines: impl Iterator<Item = L>,
    level: usize,
    out: &mut Vec<u8>,
) {
    out.push(open);
    for (index, line) in lines.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        indent(level + 1, out);
        line(out);
    }
    indent(level, out);
    out.push(close);
}

fn indent(level: usize, out: &mut Vec<u8>) {
    out.push(b'\n');
    out.resize(out.len() + level, b' ');
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text.as_bytes() {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            0..0x20 => out.extend(format!("\\u{byte:04x}").bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}
