//! Reading the sections of a PE file.
//!
//! The file may be anything that lies on an ESP, or comes with a package. The crate `object` checks every offset against
//! the file's length; what is added here: at most [`MAX_SECTIONS`] sections, sections end where the file does, and of two
//! sections of one name neither is found, as boot stub and reader might take different ones.

use object::LittleEndian as LE;
use object::pe::{IMAGE_DIRECTORY_ENTRY_SECURITY, IMAGE_FILE_MACHINE_AMD64, ImageSectionHeader};
use object::read::pe::PeFile64;

use super::authenticode;
use crate::digest::Digest;

/// More sections than a multi-profile image has.
const MAX_SECTIONS: usize = 96;

/// What is wrong with a PE file.
#[derive(Debug, thiserror::Error)]
pub enum UkiError {
    /// Not a PE file for 64 bits, or a damaged one.
    #[error("no valid PE file for 64-bit machines")]
    Pe(#[from] object::read::Error),
    /// For another machine.
    #[error("made for machine type {0:#06x} where x86-64 was expected")]
    Machine(u16),
    /// More sections than any image has.
    #[error("{0} sections")]
    TooManySections(usize),
    /// A section whose bytes lie beyond the end of the file.
    #[error("section {0} reaches beyond the end of the file")]
    Truncated(SectionName),
    /// A section that was asked for and isn't there.
    #[error("no section {0}")]
    Missing(&'static str),
    /// A section that is there more than once.
    #[error("more than one section {0}")]
    Ambiguous(&'static str),
    /// Headers whose sizes contradict each other.
    #[error("headers of {headers} bytes in a file of {file} bytes")]
    Headers {
        /// Bytes of the headers.
        headers: u64,
        /// Bytes of the file.
        file: u64,
    },
}

/// A section's name, at most eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionName(pub(super) [u8; 8]);

impl SectionName {
    /// The name without its padding.
    pub fn as_bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|&byte| byte == 0).unwrap_or(self.0.len());
        &self.0[..end]
    }
}

impl std::fmt::Display for SectionName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_bytes().escape_ascii().fmt(f)
    }
}

/// A section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    /// Its name.
    pub name: SectionName,
    /// Where it is loaded, in bytes from the start of the loaded image.
    pub address: u32,
    /// Bytes that it takes when loaded.
    pub size: u32,
    /// Its content without the padding of the file.
    pub data: &'a [u8],
}

/// The sections of a PE file, in the order of its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sections<'a> {
    /// The sections.
    pub all: Vec<Section<'a>>,
    /// SHA-256 over what an Authenticode signature covers.
    pub authenticode_digest: Digest,
    /// Bytes of signatures in the file; none if it isn't signed.
    pub signatures: u64,
}

impl<'a> Sections<'a> {
    /// The content of the one section of this name.
    pub fn find(&self, name: &'static str) -> Result<&'a [u8], UkiError> {
        let mut found = self.all.iter().filter(|section| section.name.as_bytes() == name.as_bytes());
        match (found.next(), found.next()) {
            (Some(section), None) => Ok(section.data),
            (None, _) => Err(UkiError::Missing(name)),
            (Some(_), Some(_)) => Err(UkiError::Ambiguous(name)),
        }
    }
}

/// Takes a PE file for x86-64 apart.
pub fn sections(file: &[u8]) -> Result<Sections<'_>, UkiError> {
    let pe = parse(file)?;
    let all = pe.section_table().iter().map(|header| section(file, header)).collect::<Result<_, _>>()?;
    let signatures =
        pe.data_directory(IMAGE_DIRECTORY_ENTRY_SECURITY).map_or(0, |directory| u64::from(directory.size.get(LE)));
    Ok(Sections { all, authenticode_digest: authenticode::digest(file, &pe)?, signatures })
}

/// Checks that `file` is a PE file for x86-64 with a reasonable number of sections.
pub(super) fn parse(file: &[u8]) -> Result<PeFile64<'_>, UkiError> {
    let pe = PeFile64::parse(file)?;
    let machine = pe.nt_headers().file_header.machine.get(LE);
    if machine != IMAGE_FILE_MACHINE_AMD64 {
        return Err(UkiError::Machine(machine.0));
    }
    let count = pe.section_table().len();
    if count > MAX_SECTIONS { Err(UkiError::TooManySections(count)) } else { Ok(pe) }
}

fn section<'a>(file: &'a [u8], header: &ImageSectionHeader) -> Result<Section<'a>, UkiError> {
    let name = SectionName(header.name);
    let data = raw_data(file, header).ok_or(UkiError::Truncated(name))?;
    let size = header.virtual_size.get(LE);
    let used = usize::try_from(size).unwrap_or(usize::MAX).min(data.len());
    Ok(Section { name, address: header.virtual_address.get(LE), size, data: &data[..used] })
}

/// The bytes of a section in the file, padding included.
pub(super) fn raw_data<'a>(file: &'a [u8], header: &ImageSectionHeader) -> Option<&'a [u8]> {
    let start = usize::try_from(header.pointer_to_raw_data.get(LE)).ok()?;
    let len = usize::try_from(header.size_of_raw_data.get(LE)).ok()?;
    if len == 0 { Some(&[]) } else { file.get(start..start.checked_add(len)?) }
}
