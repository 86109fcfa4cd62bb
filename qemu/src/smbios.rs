//! System credentials of systemd, handed to the guest as SMBIOS type 11 strings.
//!
//! `smbios-type-11(7)` names the two forms, `io.systemd.credential:NAME=VALUE` and, in Base64, `io.systemd.credential.binary:`;
//! `systemd.system-credentials(7)` says what is done with which name.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::QemuError;

/// The longest string that stays on the command line; longer ones go through a file.
const INLINE_MAX: usize = 512;

/// Names may be as long as a file name, by `systemd.exec(5)`.
const NAME_MAX: usize = 255;

/// A system credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    name: String,
    value: Vec<u8>,
}

impl Credential {
    /// A credential. `None` if the name is none that systemd takes: a file name of 1–255 characters of ASCII, neither `.` nor `..`,
    /// without `/` and, for SMBIOS, without `=`, blanks and control characters.
    pub fn new(name: impl Into<String>, value: impl Into<Vec<u8>>) -> Option<Self> {
        let name = name.into();
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'=');
        let valid = (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(plain) && name != "." && name != "..";
        valid.then(|| Self { name, value: value.into() })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The SMBIOS string. Plain where the value is one line of printable ASCII, else Base64.
    fn smbios_string(&self) -> String {
        match std::str::from_utf8(&self.value) {
            Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') => {
                format!("io.systemd.credential:{}={text}", self.name)
            }
            _ => format!("io.systemd.credential.binary:{}={}", self.name, base64(&self.value)),
        }
    }
}

/// The values of QEMU's `-smbios` option for these credentials; long ones are written to files in `folder`.
pub(crate) fn arguments(credentials: &[Credential], folder: &Path) -> Result<Vec<String>, QemuError> {
    let mut arguments = Vec::with_capacity(credentials.len());
    for (index, credential) in credentials.iter().enumerate() {
        let string = credential.smbios_string();
        if string.len() <= INLINE_MAX {
            arguments.push(format!("type=11,value={}", comma_doubled(&string)));
        } else {
            let path: PathBuf = folder.join(format!("credential-{index}"));
            fs::write(&path, string).map_err(QemuError::io("write", &path))?;
            arguments.push(format!("type=11,path={}", comma_doubled(&path.to_string_lossy())));
        }
    }
    Ok(arguments)
}

/// QEMU's option syntax ends a value at a comma, unless it is doubled.
pub(crate) fn comma_doubled(text: &str) -> String {
    text.replace(',', ",,")
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0_usize, |group, byte| group << 8 | usize::from(*byte)) << (8 * (3 - chunk.len()));
        for position in 0..4 {
            if position <= chunk.len() {
                text.push(char::from(ALPHABET[group >> (18 - 6 * position) & 63]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn base64_as_in_the_rfc() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfb]), "//77");
    }

    #[test]
    fn plain_text_stays_readable_and_commas_are_doubled() {
        let folder = tempfile::tempdir().unwrap();
        let credential = Credential::new("system.hostname", "a,b").unwrap();
        assert_eq!(
            arguments(&[credential], folder.path()).unwrap(),
            ["type=11,value=io.systemd.credential:system.hostname=a,,b"]
        );
    }

    #[test]
    fn lines_go_in_base64_and_long_values_in_files() {
        let folder = tempfile::tempdir().unwrap();
        let unit = Credential::new("systemd.extra-unit.x.service", "[Unit]\n").unwrap();
        let long = Credential::new("long", "x".repeat(600)).unwrap();
        let arguments = arguments(&[unit, long], folder.path()).unwrap();
        assert_eq!(
            arguments[0],
            "type=11,value=io.systemd.credential.binary:systemd.extra-unit.x.service=W1VuaXRdCg=="
        );
        let path = arguments[1].strip_prefix("type=11,path=").unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), format!("io.systemd.credential:long={}", "x".repeat(600)));
    }

    #[test]
    fn names_that_systemd_would_not_take_are_refused() {
        for bad in ["", ".", "..", "a/b", "a=b", "a b", "a\nb", "ä"] {
            assert_eq!(Credential::new(bad, ""), None, "{bad:?}");
        }
        assert_eq!(Credential::new("x".repeat(256), ""), None);
        assert!(Credential::new("systemd.unit-dropin.sysinit.target~x", "").is_some());
    }
}
