//! Which target paths a delegation covers.
//!
//! Patterns come from a delegating role's metadata, paths from the caller. Matching takes time in proportion to the product
//! of both lengths, however many wildcards there are.

use super::name::TargetPath;

/// A shell-style pattern: `*` stands for any run of characters within one part of the path, `?` for one character of it;
/// neither for a `/`. All other characters, brackets too, stand for themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern(String);

impl PathPattern {
    /// The pattern of this text. Any text is one.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern stands for the whole path.
    pub fn matches(&self, path: &TargetPath) -> bool {
        let (mut patterns, mut parts) = (self.0.split('/'), path.as_str().split('/'));
        loop {
            match (patterns.next(), parts.next()) {
                (Some(pattern), Some(part)) if part_matches(pattern, part) => {}
                (None, None) => return true,
                _ => return false,
            }
        }
    }
}

/// The first hexadecimal digits of a SHA-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashPrefix(String);

impl HashPrefix {
    /// Up to 64 hexadecimal digits, case doesn't matter; none at all stands for every path.
    pub fn new(text: &str) -> Option<Self> {
        let valid = text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        valid.then(|| Self(text.to_ascii_lowercase()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the SHA-256 of the path starts with these digits.
    pub fn covers(&self, path: &TargetPath) -> bool {
        hex::encode(path.hash()).starts_with(&self.0)
    }
}

fn part_matches(pattern: &str, part: &str) -> bool {
    let (pattern, part): (Vec<char>, Vec<char>) = (pattern.chars().collect(), part.chars().collect());
    let (mut at_pattern, mut at_part) = (0, 0);
    // Where to go on when the newest star has to swallow one more character.
    let mut retry: Option<(usize, usize)> = None;
    while at_part < part.len() {
        match pattern.get(at_pattern) {
            Some('*') => {
                at_pattern += 1;
                retry = Some((at_pattern, at_part));
            }
            Some(&wanted) if wanted == '?' || part.get(at_part) == Some(&wanted) => {
                at_pattern += 1;
                at_part += 1;
            }
            _ => match retry {
                Some((after_star, swallowed)) => {
                    at_pattern = after_star;
                    at_part = swallowed + 1;
                    retry = Some((after_star, swallowed + 1));
                }
                None => return false,
            },
        }
    }
    pattern.get(at_pattern..).is_some_and(|rest| rest.iter().all(|&wanted| wanted == '*'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        PathPattern::new(pattern.to_owned()).matches(&TargetPath::new(path).unwrap())
    }

    #[test]
    fn wildcards_stay_within_a_part() {
        for (pattern, path) in [
            ("*", "a"),
            ("a/*", "a/b"),
            ("*/*", "a/b"),
            ("f?o-*.t", "foo-1.2.t"),
            ("a*", "a"),
            ("**", "a"),
            ("[a]", "[a]"),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("*", "a/b"),
            ("a/*", "a/b/c"),
            ("a*c", "a/c"),
            ("a?c", "a/c"),
            ("**", "a/b"),
            ("*/b", "b"),
            ("A", "a"),
            ("[a]", "a"),
            ("?", "ab"),
            ("", "a"),
        ] {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        assert!(!matches(&"*a".repeat(300), &"a".repeat(299)));
    }

    #[test]
    fn prefixes_are_of_the_hash_of_the_path() {
        // printf a/b | sha256sum
        let path = TargetPath::new("a/b").unwrap();
        let hash = hex::encode(path.hash());
        assert!(HashPrefix::new(&hash[..3].to_uppercase()).unwrap().covers(&path));
        assert!(HashPrefix::new("").unwrap().covers(&path));
        let other = if hash.starts_with('0') { "1" } else { "0" };
        assert!(!HashPrefix::new(other).unwrap().covers(&path));
        assert_eq!(HashPrefix::new("0g"), None);
        assert_eq!(HashPrefix::new(&"0".repeat(65)), None);
    }

    proptest! {
        #[test]
        fn agrees_with_a_slow_matcher(pattern in "[ab*?]{0,8}", part in "[ab]{1,8}") {
            fn slow(pattern: &[u8], part: &[u8]) -> bool {
                match (pattern, part) {
                    ([], []) => true,
                    ([b'*', rest @ ..], _) => (0..=part.len()).any(|skipped| slow(rest, &part[skipped..])),
                    ([b'?', rest @ ..], [_, after @ ..]) => slow(rest, after),
                    ([wanted, rest @ ..], [found, after @ ..]) => wanted == found && slow(rest, after),
                    _ => false,
                }
            }
            prop_assert_eq!(matches(&pattern, &part), slow(pattern.as_bytes(), part.as_bytes()));
        }
    }
}
