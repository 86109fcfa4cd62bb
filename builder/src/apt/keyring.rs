//! The keys of the Debian archive, compiled in. `keys/debian/README.md` says where they come from.

use slipway_trust::openpgp::{Certificates, OpenPgpError};

const KEYS: [&[u8]; 6] = [
    include_bytes!("../../../keys/debian/bookworm-automatic.asc"),
    include_bytes!("../../../keys/debian/bookworm-security-automatic.asc"),
    include_bytes!("../../../keys/debian/bookworm-stable.asc"),
    include_bytes!("../../../keys/debian/trixie-automatic.asc"),
    include_bytes!("../../../keys/debian/trixie-security-automatic.asc"),
    include_bytes!("../../../keys/debian/trixie-stable.asc"),
];

/// The certificates that may sign the suites of Debian.
pub fn debian_keys() -> Result<Certificates, OpenPgpError> {
    KEYS.iter().try_fold(Certificates::default(), |all, key| Ok(all.and(Certificates::parse(key)?)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_key_is_the_one_that_the_readme_lists() {
        let readme = include_str!("../../../keys/debian/README.md");
        let found = debian_keys().unwrap().fingerprints();
        assert_eq!(found.len(), KEYS.len());
        let rows: Vec<_> = readme.lines().filter(|line| line.starts_with("| `")).collect();
        for (row, fingerprint) in rows.iter().zip(&found) {
            assert_eq!(row.split('|').nth(3).unwrap().trim(), format!("`{fingerprint}`"), "{row}");
        }
        assert_eq!(rows.len(), found.len());
    }
}
