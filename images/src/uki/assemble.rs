//! Adding the sections of a unified kernel image to a boot stub.
//!
//! The stub's sections keep their addresses, for code refers to them; all raw data is laid out anew behind the headers,
//! so that the section table can grow. The order is that of systemd's `ukify`: the kernel last, as it may need room behind
//! it when it is unpacked.

use object::LittleEndian as LE;
use object::pe::{
    IMAGE_DIRECTORY_ENTRY_DEBUG, IMAGE_DIRECTORY_ENTRY_SECURITY, ImageFileHeader, ImageNtHeaders64, ImageSectionHeader,
    SectionFlags,
};
use object::pod::{bytes_of, from_bytes_mut};
use object::read::pe::PeFile64;
use object::{U16, U32};

use super::read::{SectionName, UkiError, parse, raw_data, sections};
use super::{Uki, authenticode, sbat};

const CODE: u32 = 0x0000_0020;
const INITIALIZED_DATA: u32 = 0x0000_0040;
const READABLE: u32 = 0x4000_0000;

/// What a unified kernel image is made of.
#[derive(Clone, Copy, Debug)]
pub struct UkiParts<'a> {
    /// systemd-stub, `linuxx64.efi.stub`.
    pub stub: &'a [u8],
    /// The kernel, `vmlinuz`, with its own EFI stub.
    pub kernel: &'a [u8],
    /// The initrd, as the kernel takes it.
    pub initrd: &'a [u8],
    /// `/etc/os-release` of the root. systemd-boot orders entries by its `IMAGE_ID` and `IMAGE_VERSION`.
    pub os_release: &'a str,
    /// The kernel's command line, on one line.
    pub command_line: &'a str,
    /// The kernel's release, as `uname -r` gives it.
    pub kernel_release: &'a str,
}

/// Parts that make no unified kernel image.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The stub.
    #[error("the boot stub can't be used")]
    Stub(#[source] UkiError),
    /// The kernel.
    #[error("the kernel can't be used")]
    Kernel(#[source] UkiError),
    /// What came out can't be read back: a fault of this program.
    #[error("the assembled image is damaged")]
    Result(#[source] UkiError),
    /// A text part with a line break, a NUL or nothing in it.
    #[error("the {0} is empty, or has a NUL or a line break in it")]
    Text(&'static str),
    /// A stub with signatures, debug data or odd alignment, or whose sections are out of order.
    #[error("the boot stub {0}")]
    Unsupported(&'static str),
    /// A stub that is a whole image already.
    #[error("the boot stub already has a section {0}")]
    Occupied(SectionName),
    /// No room for the table of sections.
    #[error(
        "the section table needs headers of {needed} bytes, and the boot stub's first section begins at {available}"
    )]
    HeaderSpace {
        /// Bytes needed.
        needed: u64,
        /// Bytes there are.
        available: u64,
    },
    /// No room for the merged `.sbat` section between its neighbours.
    #[error("the merged .sbat section has {needed} bytes, and the boot stub has room for {available}")]
    SbatSpace {
        /// Bytes needed.
        needed: u64,
        /// Bytes there are.
        available: u64,
    },
    /// More bytes than a PE file can have.
    #[error("the image would be larger than 4 GiB")]
    TooLarge,
}

/// Puts the parts together.
pub fn assemble(parts: &UkiParts<'_>) -> Result<Uki, AssembleError> {
    let one_line = |text: &str| !text.is_empty() && !text.contains(['\0', '\n', '\r']);
    for (what, text) in [("command line", parts.command_line), ("kernel release", parts.kernel_release)] {
        if !one_line(text) {
            return Err(AssembleError::Text(what));
        }
    }
    let stub = sections(parts.stub).map_err(AssembleError::Stub)?;
    let kernel = sections(parts.kernel).map_err(AssembleError::Kernel)?;
    let of = |part: &super::Sections<'_>| part.find(".sbat").map(<[u8]>::to_vec).unwrap_or_default();
    let sbat = sbat::merge(&[&of(&stub), &of(&kernel)]);

    let added = [
        (*b".osrel\0\0", INITIALIZED_DATA, parts.os_release.as_bytes()),
        (*b".cmdline", INITIALIZED_DATA, parts.command_line.as_bytes()),
        (*b".uname\0\0", INITIALIZED_DATA, parts.kernel_release.as_bytes()),
        (*b".initrd\0", INITIALIZED_DATA, parts.initrd),
        // Old kernels are started through their EFI handover entry, within the section.
        (*b".linux\0\0", CODE, parts.kernel),
    ];
    let mut image = Image::of_stub(parts.stub)?;
    image.put_sbat(&sbat)?;
    for (name, kind, data) in added {
        image.append(SectionName(name), kind | READABLE, data)?;
    }
    let bytes = image.into_bytes()?;
    let authenticode_digest = sections(&bytes).map_err(AssembleError::Result)?.authenticode_digest;
    Ok(Uki { bytes, authenticode_digest })
}

/// A PE file in the making: its headers, and its sections with their data.
struct Image<'a> {
    headers: &'a [u8],
    nt_headers: usize,
    section_table: usize,
    file_alignment: u32,
    section_alignment: u32,
    sections: Vec<(ImageSectionHeader, &'a [u8])>,
}

impl<'a> Image<'a> {
    fn of_stub(stub: &'a [u8]) -> Result<Self, AssembleError> {
        let pe = parse(stub).map_err(AssembleError::Stub)?;
        let nt = pe.nt_headers();
        let (file_alignment, section_alignment) =
            (nt.optional_header.file_alignment.get(LE), nt.optional_header.section_alignment.get(LE));
        let powers = file_alignment.is_power_of_two() && section_alignment.is_power_of_two();
        if !powers || file_alignment < 512 || section_alignment < file_alignment {
            return Err(AssembleError::Unsupported("has an odd alignment"));
        }
        refuse_file_offsets(&pe)?;
        let headers_end = to_usize(nt.optional_header.size_of_headers.get(LE))?;
        let headers = stub.get(..headers_end).ok_or(AssembleError::Unsupported("is cut short in its headers"))?;
        let mut sections = Vec::new();
        for header in pe.section_table().iter() {
            let name = SectionName(header.name);
            let data = raw_data(stub, header).ok_or(AssembleError::Stub(UkiError::Truncated(name)))?;
            sections.push((*header, data));
        }
        let ascending =
            sections.windows(2).all(|pair| end_of(&pair[0].0) <= u64::from(pair[1].0.virtual_address.get(LE)));
        if sections.is_empty() || !ascending {
            return Err(AssembleError::Unsupported("has no sections, or they are out of order"));
        }
        let nt_headers = to_usize(pe.dos_header().nt_headers_offset())?;
        let optional_bytes = usize::from(nt.file_header.size_of_optional_header.get(LE));
        let section_table = nt_headers + 4 + size_of::<ImageFileHeader>() + optional_bytes;
        if headers.len() < section_table {
            return Err(AssembleError::Unsupported("is cut short in its headers"));
        }
        Ok(Self { headers, nt_headers, section_table, file_alignment, section_alignment, sections })
    }

    fn place_of(&self, name: &[u8]) -> Option<usize> {
        self.sections.iter().position(|(header, _)| SectionName(header.name).as_bytes() == name)
    }

    /// Replaces the stub's `.sbat` section, or adds one.
    fn put_sbat(&mut self, data: &'a [u8]) -> Result<(), AssembleError> {
        let Some(place) = self.place_of(b".sbat") else {
            return self.append(SectionName(*b".sbat\0\0\0"), INITIALIZED_DATA | READABLE, data);
        };
        let start = self.sections[place].0.virtual_address.get(LE);
        let needed = data.len() as u64;
        if let Some((next, _)) = self.sections.get(place + 1) {
            let available = u64::from(next.virtual_address.get(LE) - start);
            if needed > available {
                return Err(AssembleError::SbatSpace { needed, available });
            }
        }
        let (header, content) = &mut self.sections[place];
        header.virtual_size = U32::new(LE, to_u32(needed)?);
        *content = data;
        Ok(())
    }

    fn append(&mut self, name: SectionName, flags: u32, data: &'a [u8]) -> Result<(), AssembleError> {
        if self.place_of(name.as_bytes()).is_some() {
            return Err(AssembleError::Occupied(name));
        }
        let address = self.end_address().next_multiple_of(u64::from(self.section_alignment));
        let zero = || U32::new(LE, 0);
        let header = ImageSectionHeader {
            name: name.0,
            virtual_size: U32::new(LE, to_u32(data.len() as u64)?),
            virtual_address: U32::new(LE, to_u32(address)?),
            size_of_raw_data: zero(),
            pointer_to_raw_data: zero(),
            pointer_to_relocations: zero(),
            pointer_to_linenumbers: zero(),
            number_of_relocations: U16::new(LE, 0),
            number_of_linenumbers: U16::new(LE, 0),
            characteristics: U32::new(LE, SectionFlags(flags)),
        };
        self.sections.push((header, data));
        Ok(())
    }

    fn end_address(&self) -> u64 {
        self.sections.iter().map(|(header, _)| end_of(header)).max().unwrap_or(0)
    }

    /// Lays out the raw data, fills in the headers and writes everything.
    fn into_bytes(mut self) -> Result<Vec<u8>, AssembleError> {
        let align = u64::from(self.file_alignment);
        let table_end = self.section_table + self.sections.len() * size_of::<ImageSectionHeader>();
        let headers_bytes = (table_end.max(self.headers.len()) as u64).next_multiple_of(align);
        let available =
            self.sections.iter().map(|(header, _)| u64::from(header.virtual_address.get(LE))).min().unwrap_or(0);
        if headers_bytes > available {
            return Err(AssembleError::HeaderSpace { needed: headers_bytes, available });
        }

        let mut offset = headers_bytes;
        let mut initialized = 0;
        for (header, data) in &mut self.sections {
            let raw = (data.len() as u64).next_multiple_of(align);
            header.size_of_raw_data = U32::new(LE, to_u32(raw)?);
            header.pointer_to_raw_data = U32::new(LE, if raw == 0 { 0 } else { to_u32(offset)? });
            offset += raw;
            if header.characteristics.get(LE).0 & INITIALIZED_DATA != 0 {
                initialized += raw;
            }
        }

        let mut bytes = Vec::with_capacity(to_usize(to_u32(offset)?)?);
        bytes.extend_from_slice(&self.headers[..self.section_table]);
        for (header, _) in &self.sections {
            bytes.extend_from_slice(bytes_of(header));
        }
        bytes.resize(to_usize(to_u32(headers_bytes)?)?, 0);
        for (_, data) in &self.sections {
            bytes.extend_from_slice(data);
            bytes.resize(bytes.len().next_multiple_of(to_usize(self.file_alignment)?), 0);
        }
        let image_bytes = self.end_address().next_multiple_of(u64::from(self.section_alignment));
        let count = u16::try_from(self.sections.len()).map_err(|_| AssembleError::TooLarge)?;
        let headers = bytes.get_mut(self.nt_headers..).unwrap_or_default();
        let (nt, _) = from_bytes_mut::<ImageNtHeaders64>(headers)
            .map_err(|()| AssembleError::Unsupported("is cut short in its headers"))?;
        nt.file_header.number_of_sections = U16::new(LE, count);
        nt.file_header.pointer_to_symbol_table = U32::new(LE, 0);
        nt.file_header.number_of_symbols = U32::new(LE, 0);
        nt.optional_header.size_of_image = U32::new(LE, to_u32(image_bytes)?);
        nt.optional_header.size_of_headers = U32::new(LE, to_u32(headers_bytes)?);
        nt.optional_header.size_of_initialized_data = U32::new(LE, to_u32(initialized)?);
        nt.optional_header.check_sum = U32::new(LE, 0);
        let checksum = checksum(&bytes);
        let place = self.nt_headers + authenticode::CHECKSUM;
        bytes[place..place + 4].copy_from_slice(&checksum.to_le_bytes());
        Ok(bytes)
    }
}

/// Refuses what refers to places in the file that are about to move.
fn refuse_file_offsets(pe: &PeFile64<'_>) -> Result<(), AssembleError> {
    let used = |entry| pe.data_directory(entry).is_some_and(|directory| directory.size.get(LE) > 0);
    if used(IMAGE_DIRECTORY_ENTRY_SECURITY) {
        return Err(AssembleError::Unsupported("is signed"));
    }
    if used(IMAGE_DIRECTORY_ENTRY_DEBUG) {
        return Err(AssembleError::Unsupported("has debug data"));
    }
    Ok(())
}

fn end_of(header: &ImageSectionHeader) -> u64 {
    u64::from(header.virtual_address.get(LE)) + u64::from(header.virtual_size.get(LE))
}

/// The checksum of a PE file whose checksum field is zero: the sum of its 16-bit words with carries folded in, and its length.
fn checksum(file: &[u8]) -> u32 {
    let sum = file.chunks(2).fold(0_u32, |sum, word| {
        let word = u32::from(word[0]) | u32::from(word.get(1).copied().unwrap_or(0)) << 8;
        let sum = sum + word;
        (sum & 0xffff) + (sum >> 16)
    });
    sum.wrapping_add(u32::try_from(file.len()).unwrap_or(u32::MAX))
}

fn to_u32(value: u64) -> Result<u32, AssembleError> {
    u32::try_from(value).map_err(|_| AssembleError::TooLarge)
}

fn to_usize(value: u32) -> Result<usize, AssembleError> {
    usize::try_from(value).map_err(|_| AssembleError::TooLarge)
}
