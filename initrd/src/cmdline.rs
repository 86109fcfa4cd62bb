//! What the kernel command line asks for.

use slipway_images::verity::RootHash;

/// A command line that names no root.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CmdlineError {
    /// No `roothash=`.
    #[error("the kernel command line has no roothash=")]
    Missing,
    /// A `roothash=` that is no SHA-256 digest.
    #[error("the kernel command line says roothash={0}, which is not 64 hexadecimal digits")]
    Malformed(String),
    /// Two of them, and they differ. Taking either would be a guess.
    #[error("the kernel command line has two roothash= that differ")]
    Contradiction,
}

/// Finds `roothash=` before a `--`, after which the words are the init's.
pub fn root_hash(cmdline: &str) -> Result<RootHash, CmdlineError> {
    let words = cmdline.split_ascii_whitespace().take_while(|word| *word != "--");
    let mut found = None;
    for text in words.filter_map(|word| word.strip_prefix("roothash=")) {
        let hash = text.parse().map_err(|_| CmdlineError::Malformed(text.to_owned()))?;
        if found.is_some_and(|other| other != hash) {
            return Err(CmdlineError::Contradiction);
        }
        found = Some(hash);
    }
    found.ok_or(CmdlineError::Missing)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdeffedcba9876543210fedcba9876543210";

    #[test]
    fn nothing_is_guessed() {
        let parse = |cmdline: &str| root_hash(cmdline).map(|hash| hash.to_hex());
        let other = HEX.replace('0', "1");
        assert_eq!(parse(&format!("quiet roothash={HEX} panic=10\n")), Ok(HEX.to_owned()));
        assert_eq!(parse("quiet"), Err(CmdlineError::Missing));
        assert_eq!(parse(&format!("quiet -- roothash={HEX}")), Err(CmdlineError::Missing));
        assert_eq!(parse("roothash=abc"), Err(CmdlineError::Malformed("abc".into())));
        assert_eq!(parse(&format!("roothash={HEX} roothash={other}")), Err(CmdlineError::Contradiction));
        assert!(parse(&format!("roothash={HEX} roothash={HEX}")).is_ok());
    }

    proptest! {
        #[test]
        fn a_hash_that_is_found_is_a_word_of_the_line_before_the_init_s(
            words in proptest::collection::vec("(roothash=)?[0-9a-f]{64}|roothash=.{0,8}|--|[^ ]{0,6}", 0..5),
        ) {
            let line = words.join(" ");
            if let Ok(hash) = root_hash(&line) {
                let before = line.split(" -- ").next().unwrap_or_default();
                prop_assert!(before.contains(&format!("roothash={hash}")), "{}", line);
            }
        }
    }
}
