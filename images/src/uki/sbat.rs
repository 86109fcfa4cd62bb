//! The `.sbat` section: who made the parts and which security generation they are of (shim's SBAT.md).

/// The line that stands first in every `.sbat` section.
const HEADER: &str = "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md";

/// The line for the way in which the parts are put together, the same that systemd's `ukify` adds.
const UKI: &str = "uki,1,UKI,uki,1,https://uapi-group.org/specifications/specs/unified_kernel_image/";

/// Joins the sections of the parts into one: the header once, then every line in order, each once, then our own.
/// NULs at the end of a section are padding.
pub(super) fn merge(parts: &[&[u8]]) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = vec![HEADER.as_bytes()];
    let of_parts = parts.iter().flat_map(|part| part.split(|&byte| byte == b'\n')).map(trim);
    for line in of_parts.chain([UKI.as_bytes()]) {
        if !line.is_empty() && !line.starts_with(b"sbat,") && !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.into_iter().flat_map(|line| line.iter().copied().chain([b'\n'])).collect()
}

fn trim(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, 0 | b'\r' | b' ')).map_or(0, |last| last + 1);
    &line[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_comes_once_and_the_header_first() {
        let stub = b"sbat,1,SBAT Version,sbat,1,x\nsystemd-stub,1,a\nsystemd-stub.debian,1,b\n\0\0";
        let kernel = b"sbat,1,SBAT Version,sbat,1,x\nlinux,1,k\nsystemd-stub,1,a";
        let merged = String::from_utf8_lossy(&merge(&[stub, kernel])).into_owned();
        let lines: Vec<&str> = merged.lines().collect();
        assert_eq!(lines, [HEADER, "systemd-stub,1,a", "systemd-stub.debian,1,b", "linux,1,k", UKI]);
        assert!(merged.ends_with('\n'));
    }
}
