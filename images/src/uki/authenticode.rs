//! The digest that an Authenticode signature is over.

use object::LittleEndian as LE;
use object::pe::{IMAGE_DIRECTORY_ENTRY_SECURITY, ImageNtHeaders64};
use object::read::pe::PeFile64;
use sha2::{Digest as _, Sha256};

use super::read::{SectionName, UkiError, raw_data};
use crate::digest::Digest;

/// Offset of the checksum from the start of the NT headers, in PE32+.
pub(super) const CHECKSUM: usize = 24 + 64;
const DIRECTORY_BYTES: usize = 8;
const SECURITY_DIRECTORY: usize = size_of::<ImageNtHeaders64>() + IMAGE_DIRECTORY_ENTRY_SECURITY * DIRECTORY_BYTES;

/// Digests headers, sections in the order of their place in the file, and what follows them up to the signatures.
pub(super) fn digest(file: &[u8], pe: &PeFile64<'_>) -> Result<Digest, UkiError> {
    let optional = &pe.nt_headers().optional_header;
    let headers = u64::from(optional.size_of_headers.get(LE));
    let bad_headers = || UkiError::Headers { headers, file: file.len() as u64 };
    let nt_headers = usize::try_from(pe.dos_header().nt_headers_offset()).map_err(|_| bad_headers())?;
    let headers_end = usize::try_from(headers).map_err(|_| bad_headers())?;
    let part = |start: usize, end: usize| file.get(start..end).ok_or_else(bad_headers);

    let mut hasher = Sha256::new();
    let checksum = nt_headers.checked_add(CHECKSUM).ok_or_else(bad_headers)?;
    hasher.update(part(0, checksum)?);
    // The place of the signatures is left out even while there are none, when `data_directory` says that it isn't there.
    if optional.number_of_rva_and_sizes.get(LE) as usize > IMAGE_DIRECTORY_ENTRY_SECURITY {
        let directory = nt_headers + SECURITY_DIRECTORY;
        hasher.update(part(checksum + 4, directory)?);
        hasher.update(part(directory + DIRECTORY_BYTES, headers_end)?);
    } else {
        hasher.update(part(checksum + 4, headers_end)?);
    }

    let mut sections: Vec<_> = pe.section_table().iter().filter(|header| header.size_of_raw_data.get(LE) > 0).collect();
    sections.sort_by_key(|header| header.pointer_to_raw_data.get(LE));
    let mut covered = headers_end;
    for header in sections {
        let data = raw_data(file, header).ok_or(UkiError::Truncated(SectionName(header.name)))?;
        hasher.update(data);
        covered = covered.saturating_add(data.len());
    }
    let signatures = pe.data_directory(IMAGE_DIRECTORY_ENTRY_SECURITY).map_or(0, |directory| directory.size.get(LE));
    let end = usize::try_from(signatures).ok().and_then(|bytes| file.len().checked_sub(bytes));
    if let Some(rest) = end.and_then(|end| file.get(covered..end)) {
        hasher.update(rest);
    }
    Ok(Digest::from_bytes(hasher.finalize().into()))
}
