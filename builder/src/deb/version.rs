//! Versions of Debian packages and their order: Debian Policy 5.6.12, deb-version(7).

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A version `[epoch:]upstream[-revision]`. Equality is that of the order: `1.0` and `0:1.0-0` are equal.
#[derive(Clone, Debug)]
pub struct DebVersion {
    text: Box<str>,
    epoch: u32,
    /// End of the upstream part within `text`; it begins after the colon of the epoch.
    upstream: (u32, u32),
}

/// A text that is no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no Debian version: {reason}")]
pub struct DebVersionError {
    text: String,
    reason: &'static str,
}

/// Longer versions than this are refused; the longest in Debian has under 100 bytes.
const MAX_LEN: usize = 1024;

impl DebVersion {
    /// The version as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn upstream(&self) -> &str {
        &self.text[self.upstream.0 as usize..self.upstream.1 as usize]
    }

    fn revision(&self) -> &str {
        self.text[self.upstream.1 as usize..].strip_prefix('-').unwrap_or("")
    }
}

impl FromStr for DebVersion {
    type Err = DebVersionError;

    fn from_str(text: &str) -> Result<Self, DebVersionError> {
        let error = |reason| DebVersionError { text: text.chars().take(100).collect(), reason };
        if text.len() > MAX_LEN {
            return Err(error("it is too long"));
        }
        let (epoch, start) = match text.split_once(':') {
            None => (0, 0),
            Some((epoch, _)) => {
                let number = epoch.bytes().all(|byte| byte.is_ascii_digit()).then(|| epoch.parse().ok());
                let number = number.flatten().filter(|number| *number <= i32::MAX.cast_unsigned());
                (number.ok_or_else(|| error("its epoch is no number"))?, epoch.len() + 1)
            }
        };
        let end = text[start..].rfind('-').map_or(text.len(), |dash| start + dash);
        let (upstream, revision) = (&text[start..end], &text[end..]);
        if upstream.is_empty() {
            return Err(error("it has no upstream version"));
        }
        if revision.len() == 1 {
            return Err(error("its revision is empty"));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+.~".contains(&byte);
        if !upstream.bytes().all(|byte| plain(byte) || byte == b'-' || byte == b':')
            || !revision.bytes().skip(1).all(plain)
        {
            return Err(error("it has a character that versions don't have"));
        }
        if !upstream.starts_with(|first: char| first.is_ascii_digit()) {
            // Policy says "should", and dpkg only warns; packages outside Debian do it.
            if !upstream.starts_with(|first: char| first.is_ascii_alphabetic()) {
                return Err(error("it begins with neither digit nor letter"));
            }
        }
        let place = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        Ok(Self { text: text.into(), epoch, upstream: (place(start), place(end)) })
    }
}

impl fmt::Display for DebVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Ord for DebVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        let epoch = self.epoch.cmp(&other.epoch);
        let upstream = || compare_part(self.upstream(), other.upstream());
        let revision = || compare_part(self.revision(), other.revision());
        epoch.then_with(upstream).then_with(revision)
    }
}

impl PartialOrd for DebVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for DebVersion {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for DebVersion {}

/// Runs of other characters and runs of digits are compared in turn.
fn compare_part(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.as_bytes(), right.as_bytes());
    loop {
        let (left_run, left_rest) = split_run(left, false);
        let (right_run, right_rest) = split_run(right, false);
        let order = compare_letters(left_run, right_run);
        if order.is_ne() {
            return order;
        }
        let (left_run, left_rest) = split_run(left_rest, true);
        let (right_run, right_rest) = split_run(right_rest, true);
        let order = compare_digits(left_run, right_run);
        if order.is_ne() || (left_rest.is_empty() && right_rest.is_empty()) {
            return order;
        }
        (left, right) = (left_rest, right_rest);
    }
}

fn split_run(text: &[u8], digits: bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| byte.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(end)
}

/// A tilde sorts before the end, the end before letters, letters before everything else.
fn compare_letters(left: &[u8], right: &[u8]) -> Ordering {
    let weight = |byte: Option<&u8>| match byte {
        Some(b'~') => -1,
        None => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    };
    let len = left.len().max(right.len());
    let mut orders = (0..len).map(|at| weight(left.get(at)).cmp(&weight(right.get(at))));
    orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// Numbers of any length.
fn compare_digits(left: &[u8], right: &[u8]) -> Ordering {
    let strip = |digits: &[u8]| digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len());
    let (left, right) = (&left[strip(left)..], &right[strip(right)..]);
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> DebVersion {
        text.parse().unwrap()
    }

    /// Each is less than the next.
    const RISING: &[&str] = &[
        "0~~",
        "0~~a",
        "0~",
        "0",
        "0a",
        "0+",
        "0.0~rc1",
        "0.1",
        "0.9",
        "0.10",
        "1.0~beta1~svc1245",
        "1.0~beta1",
        "1.0",
        "1.0-0+b1",
        "1.0-1~bpo12+1",
        "1.0-1",
        "1.0-1a",
        "1.0-1+deb13u1",
        "1.0-1.1",
        "1.0-2",
        "1.0-10",
        "1.0a-1",
        "1.0+dfsg-1",
        "1.0.1-1",
        "1.1",
        "1.a-1",
        "1:0.1",
        "1:1.0~",
        "2:0~",
        "10:0",
    ];

    #[test]
    fn known_order() {
        for (at, left) in RISING.iter().enumerate() {
            for (other, right) in RISING.iter().enumerate() {
                assert_eq!(version(left).cmp(&version(right)), at.cmp(&other), "{left} {right}");
            }
        }
    }

    #[test]
    fn equal_versions_may_be_written_differently() {
        for (left, right) in [("1.0", "0:1.0"), ("1.0", "1.0-0"), ("1.0-1", "1.00-01"), ("1.a0", "1.a")] {
            assert_eq!(version(left), version(right), "{left} {right}");
        }
    }

    #[test]
    fn what_is_no_version() {
        for text in ["", "1:", ":1", "a:1", "1-", "-1", "1 0", "1_0", "1-1:1", "ü", "+1", "99999999999:1", "1\n"] {
            assert!(text.parse::<DebVersion>().is_err(), "{text}");
        }
        assert!("1".repeat(2000).parse::<DebVersion>().is_err());
    }

    fn any_version() -> impl Strategy<Value = String> {
        "([0-2]:)?[0-9][0-9a-z.+~]{0,6}(-[0-9a-z.+~]{1,4}){0,2}"
    }

    proptest! {
        #[test]
        fn any_text_parses_or_not(text in ".{0,30}") {
            if let Ok(version) = text.parse::<DebVersion>() {
                prop_assert_eq!(version.as_str(), text);
            }
        }

        #[test]
        fn the_order_is_total(a in any_version(), b in any_version(), c in any_version()) {
            let (a, b, c) = (version(&a), version(&b), version(&c));
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            prop_assert_eq!(a.cmp(&a), Ordering::Equal);
            if a <= b && b <= c {
                prop_assert!(a <= c);
            }
        }
    }

    #[test]
    fn dpkg_has_the_same_order() {
        if Command::new("dpkg").arg("--version").output().is_err() {
            return; // Not a Debian machine; the table above has been checked on one.
        }
        let config = ProptestConfig::with_cases(150);
        proptest!(config, |(a in any_version(), b in any_version())| {
            let dpkg = |relation: &str| {
                Command::new("dpkg").args(["--compare-versions", &a, relation, &b]).status().unwrap().success()
            };
            let order = version(&a).cmp(&version(&b));
            prop_assert_eq!((order.is_lt(), order.is_gt()), (dpkg("lt"), dpkg("gt")), "{} {}", a, b);
        });
    }
}
