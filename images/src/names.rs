//! Names that an image goes by: its id, the labels of its partitions, and its boot entry with the tries it has left.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::version::{Version, VersionError};

/// The label of a slot that holds no image. systemd's tools pass over partitions of this name.
pub const EMPTY_LABEL: &str = "_empty";

/// The folder of the ESP in which systemd-boot looks for unified kernel images (UAPI boot loader specification, type 2).
pub const ENTRY_FOLDER: &str = "EFI/Linux";

/// What is wrong with a name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NameError {
    /// The text is no image id.
    #[error("`{0}` is no image id: it takes 1 to {max} of a-z, 0-9 and -, a letter or digit first", max = ImageId::MAX_LEN)]
    ImageId(String),
    /// Id and version together are too long for a GPT label.
    #[error(
        "`{label}` has {len} characters and a partition label holds {max}: shorten the image id or version",
        len = .label.len(), max = PartitionLabel::MAX_LEN
    )]
    LabelTooLong {
        /// What the label would be.
        label: String,
    },
    /// The text has not the form `ID_VERSION`.
    #[error("`{0}` has not the form ID_VERSION")]
    Label(String),
    /// The text has not the form `ID_VERSION[+LEFT[-DONE]].efi`.
    #[error("`{0}` has not the form ID_VERSION[+LEFT[-DONE]].efi")]
    BootEntry(String),
    /// The version in a name.
    #[error(transparent)]
    Version(#[from] VersionError),
}

/// An image's id, `IMAGE_ID` of its os-release, the same for every version: `[a-z0-9][a-z0-9-]*`, at most 32 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageId(Box<str>);

impl ImageId {
    /// The most characters an id can have.
    pub const MAX_LEN: usize = 32;

    /// Checks and wraps `text`.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let good = text.as_bytes().first().is_some_and(plain)
            && text.len() <= Self::MAX_LEN
            && text.bytes().all(|byte| plain(&byte) || byte == b'-');
        if good { Ok(Self(text.into())) } else { Err(NameError::ImageId(text.to_owned())) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImageId({self})")
    }
}

impl FromStr for ImageId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl TryFrom<String> for ImageId {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

impl From<ImageId> for String {
    fn from(id: ImageId) -> Self {
        id.0.into()
    }
}

/// The label of a slot's two partitions, root and verity: `ID_VERSION`, at most 36 characters, which is what a GPT entry
/// holds. It is also the stem of the boot entry and the name of the build's output folder.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PartitionLabel {
    id: ImageId,
    version: Version,
}

impl PartitionLabel {
    /// UTF-16 units in a GPT entry's name; every character used here is one.
    pub const MAX_LEN: usize = 36;

    /// The label of this version of this image.
    pub fn new(id: ImageId, version: Version) -> Result<Self, NameError> {
        let label = Self { id, version };
        let text = label.to_string();
        if text.len() <= Self::MAX_LEN { Ok(label) } else { Err(NameError::LabelTooLong { label: text }) }
    }

    /// The image's id.
    pub fn id(&self) -> &ImageId {
        &self.id
    }

    /// The image's version.
    pub fn version(&self) -> &Version {
        &self.version
    }
}

impl fmt::Display for PartitionLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.id, self.version)
    }
}

impl FromStr for PartitionLabel {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (id, version) = text.split_once('_').ok_or_else(|| NameError::Label(text.to_owned()))?;
        Self::new(id.parse()?, version.parse()?)
    }
}

/// How many more times the boot loader will try an entry that has not been found good yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TriesLeft(pub u32);

/// How many times the boot loader has tried an entry that has not been found good yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TriesDone(pub u32);

/// Where an entry stands in automatic boot assessment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BootTries {
    /// No counter: the entry was found good.
    Good,
    /// A counter: the entry is on trial, or has failed if no tries are left.
    Counted {
        /// Tries left.
        left: TriesLeft,
        /// Tries done.
        done: TriesDone,
    },
}

/// The file name of an image's unified kernel in [`ENTRY_FOLDER`]: `ID_VERSION.efi` once it is good, before that
/// `ID_VERSION+LEFT.efi` or `ID_VERSION+LEFT-DONE.efi` (UAPI boot loader specification, boot counting).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BootEntryName {
    label: PartitionLabel,
    tries: BootTries,
}

impl BootEntryName {
    /// The entry of an image that was found good.
    pub fn good(label: PartitionLabel) -> Self {
        Self { label, tries: BootTries::Good }
    }

    /// The entry of an image that is to be tried `left` times.
    pub fn on_trial(label: PartitionLabel, left: TriesLeft) -> Self {
        Self { label, tries: BootTries::Counted { left, done: TriesDone(0) } }
    }

    /// Which image it boots.
    pub fn label(&self) -> &PartitionLabel {
        &self.label
    }

    /// Where it stands.
    pub fn tries(&self) -> BootTries {
        self.tries
    }

    /// The path on the ESP.
    pub fn path(&self) -> String {
        format!("{ENTRY_FOLDER}/{self}")
    }
}

impl fmt::Display for BootEntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tries {
            BootTries::Good => write!(f, "{}.efi", self.label),
            BootTries::Counted { left, done: TriesDone(0) } => write!(f, "{}+{}.efi", self.label, left.0),
            BootTries::Counted { left, done } => write!(f, "{}+{}-{}.efi", self.label, left.0, done.0),
        }
    }
}

impl FromStr for BootEntryName {
    type Err = NameError;

    /// Takes exactly what [`fmt::Display`] gives, so that a name that was read can be found again on the ESP.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let bad = || NameError::BootEntry(text.to_owned());
        let stem = text.strip_suffix(".efi").ok_or_else(bad)?;
        let (label, tries) = match stem.split_once('+') {
            None => (stem, BootTries::Good),
            Some((label, counter)) => (label, parse_counter(counter).map_err(|_| bad())?),
        };
        let entry = Self { label: label.parse()?, tries };
        if entry.to_string() == text { Ok(entry) } else { Err(bad()) }
    }
}

fn parse_counter(text: &str) -> Result<BootTries, ParseIntError> {
    let (left, done) = text.split_once('-').unwrap_or((text, "0"));
    Ok(BootTries::Counted { left: TriesLeft(left.parse()?), done: TriesDone(done.parse()?) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_label_holds_id_and_version_up_to_36_characters() {
        let label: PartitionLabel = "edge-web_2026.11.22".parse().unwrap();
        assert_eq!((label.id().as_str(), label.version().as_str()), ("edge-web", "2026.11.22"));
        assert_eq!(label.to_string(), "edge-web_2026.11.22");

        let id = |len: usize| ImageId::new(&"a".repeat(len)).unwrap();
        assert_eq!(PartitionLabel::new(id(32), Version::new("1.2").unwrap()).unwrap().to_string().len(), 36);
        let error = PartitionLabel::new(id(32), Version::new("1.22").unwrap()).unwrap_err();
        assert!(error.to_string().contains("has 37 characters and a partition label holds 36"), "{error}");
    }

    #[test]
    fn the_empty_label_is_no_label_of_an_image() {
        assert!(EMPTY_LABEL.parse::<PartitionLabel>().is_err());
        for bad in ["", "web", "Web_1", "-web_1", "web_1_2", "web_", "_1"] {
            assert!(bad.parse::<PartitionLabel>().is_err(), "{bad}");
        }
    }

    #[test]
    fn boot_entries_are_read_as_systemd_boot_renames_them() {
        let label: PartitionLabel = "host_2".parse().unwrap();
        let fresh = BootEntryName::on_trial(label.clone(), TriesLeft(3));
        assert_eq!(fresh.path(), "EFI/Linux/host_2+3.efi");
        let names = [("host_2+2-1.efi", 2, 1), ("host_2+1-2.efi", 1, 2), ("host_2+0-3.efi", 0, 3)];
        for (name, left, done) in names {
            let entry: BootEntryName = name.parse().unwrap();
            assert_eq!(entry.tries(), BootTries::Counted { left: TriesLeft(left), done: TriesDone(done) });
            assert_eq!(entry.label(), &label);
        }
        assert_eq!("host_2.efi".parse(), Ok(BootEntryName::good(label)));
    }

    #[test]
    fn other_names_are_no_boot_entries() {
        for bad in [
            "host_2",
            "host_2+.efi",
            "host_2+03.efi",
            "host_2+3-0.efi",
            "host_2+3-.efi",
            "host_2++3.efi",
            "host_2+-1.efi",
            "host_2+3-1-1.efi",
            "host_2+4294967296.efi",
            "host_2.EFI",
            "../host_2.efi",
            "host.efi",
        ] {
            assert!(bad.parse::<BootEntryName>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(left in any::<u32>(), done in any::<u32>()) {
            let label = "a-b_1.0~rc1^2".parse().unwrap();
            let tries = BootTries::Counted { left: TriesLeft(left), done: TriesDone(done) };
            let entry = BootEntryName { label, tries };
            prop_assert_eq!(entry.to_string().parse(), Ok(entry));
        }

        #[test]
        fn any_text_is_refused_or_printed_as_it_was(text in "[a-c0-9_+.~-]{0,12}(\\.efi)?") {
            if let Ok(entry) = text.parse::<BootEntryName>() {
                prop_assert_eq!(entry.to_string(), text);
            }
        }
    }
}
