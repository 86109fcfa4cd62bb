//! Libraries that ELF files need: by the dynamic section, by the path of their loader, and by the notes in which a
//! program says what it opens itself (UAPI group, "ELF notes for dlopen").
//!
//! Only headers and what they point at are read. Every length is capped before it is allocated, and a file that says
//! something impossible is left alone: it can't run either, and that is not what is looked for here.

use std::collections::HashSet;
use std::io;

use object::elf;
use serde::Deserialize;
use slipway_images::content::Content;
use slipway_images::tree::{Kind, Node, RootTree, TreePath};

use super::follow::is_there;
use super::{Finding, Severity};

/// Where glibc's loader on amd64 looks without a cache; `/lib` and `/lib64` are links to these.
const DEFAULT_FOLDERS: [&str; 4] = ["/usr/lib/x86_64-linux-gnu", "/usr/lib", "/usr/lib64", "/lib64"];
const MAX_HEADERS: usize = 64 << 10;
const MAX_DYNAMIC: usize = 64 << 10;
const MAX_NOTES: usize = 256 << 10;
const MAX_STRING: usize = 4096;
const NOTE_NAME: &[u8] = b"FDO\0";
const NOTE_DLOPEN: u32 = 0x407c_0c0a;

/// What there is for loaders to find.
pub struct Libraries {
    /// Folders that are searched for every program.
    folders: Vec<TreePath>,
    /// Names of all files, to tell what is missing from what is elsewhere.
    names: HashSet<String>,
}

impl Libraries {
    /// Those of `tree`. Folders of `ld.so.conf` count only with a cache: the loader never reads that file itself.
    pub fn of(tree: &RootTree) -> Self {
        let mut folders: Vec<TreePath> = DEFAULT_FOLDERS.iter().filter_map(|path| TreePath::new(path).ok()).collect();
        let etc = TreePath::new("/etc/ld.so.cache").is_ok_and(|cache| tree.contains(&cache));
        if etc && let Ok(folder) = TreePath::new("/etc/ld.so.conf.d") {
            for (_, node) in tree.children(&folder) {
                if let Kind::File(content) = &node.kind
                    && let Ok(text) = content.to_text()
                {
                    folders.extend(text.lines().filter_map(|line| TreePath::new(line.trim()).ok()));
                }
            }
        }
        let names = tree.iter().map(|(path, _)| path.name()).filter(|name| name.contains(".so")).map(str::to_owned);
        Self { folders, names: names.collect() }
    }
}

/// What the headers of one file say.
#[derive(Debug, Default, PartialEq, Eq)]
struct Dynamic {
    interpreter: Option<String>,
    needed: Vec<String>,
    search: Vec<String>,
    opened: Vec<Dlopen>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Dlopen {
    soname: Vec<String>,
    #[serde(default)]
    priority: String,
    #[serde(default)]
    feature: String,
}

/// What the ELF file at `path` needs and `tree` doesn't have.
pub fn check(
    tree: &RootTree,
    libraries: &Libraries,
    path: &TreePath,
    node: &Node,
    content: &Content,
) -> io::Result<Vec<Finding>> {
    let dynamic = Elf { content }.dynamic()?;
    let finding = |severity, what| Finding { severity, path: path.clone(), what, origin: node.origin.clone() };
    let mut findings = Vec::new();
    if let Some(loader) = &dynamic.interpreter
        && !TreePath::new(loader).is_ok_and(|loader| is_there(tree, &loader))
    {
        findings.push(finding(Severity::Error, format!("needs the loader `{loader}`, which isn't in the image")));
    }
    let mut folders: Vec<TreePath> = dynamic.search.iter().filter_map(|folder| expand(folder, path)).collect();
    // Who loads a private library has its folder in its own search path, and with it the library's companions.
    folders.extend(path.parent());
    let found = |name: &str| {
        if name.starts_with('/') {
            return TreePath::new(name).is_ok_and(|path| is_there(tree, &path));
        }
        let mut all = folders.iter().chain(&libraries.folders);
        all.any(|folder| folder.join(name).is_ok_and(|path| is_there(tree, &path)))
    };
    for name in dynamic.needed.iter().filter(|name| !found(name)) {
        findings.push(if libraries.names.contains(name.as_str()) {
            let what = format!("needs the library {name}, which is in the image but not where it is looked for");
            finding(Severity::Warning, what)
        } else {
            finding(Severity::Error, format!("needs the library {name}, which isn't in the image"))
        });
    }
    for wish in dynamic.opened.iter().filter(|wish| !wish.soname.iter().any(|name| found(name))) {
        let names = wish.soname.join(" or ");
        let feature = if wish.feature.is_empty() { "a feature" } else { &wish.feature };
        let required = wish.priority == "required";
        let severity = if required { Severity::Error } else { Severity::Note };
        findings.push(finding(severity, format!("opens the library {names} for {feature}, which isn't in the image")));
    }
    Ok(findings)
}

/// A folder of `RUNPATH` with `$ORIGIN` put in (ld.so(8)).
fn expand(folder: &str, of: &TreePath) -> Option<TreePath> {
    let origin = of.parent()?;
    let text = folder.replace("${ORIGIN}", origin.as_str()).replace("$ORIGIN", origin.as_str());
    text.starts_with('/').then(|| TreePath::root().resolve_link(&text))
}

struct Elf<'a> {
    content: &'a Content,
}

#[derive(Clone, Copy)]
struct Segment {
    kind: elf::ProgramType,
    offset: u64,
    address: u64,
    len: u64,
}

impl Elf<'_> {
    /// Empty for what is no program or library for amd64 (object files, kernel modules, other machines).
    fn dynamic(&self) -> io::Result<Dynamic> {
        let mut dynamic = Dynamic::default();
        let Some(segments) = self.segments()? else { return Ok(dynamic) };
        for segment in &segments {
            match segment.kind {
                elf::PT_INTERP => dynamic.interpreter = self.string(segment.offset, segment.len)?,
                elf::PT_DYNAMIC => self.read_dynamic(segment, &segments, &mut dynamic)?,
                elf::PT_NOTE => dynamic.opened.extend(self.notes(segment)?),
                _ => {}
            }
        }
        Ok(dynamic)
    }

    /// The bytes at `offset`, `most` at most, fewer where the file ends.
    fn read(&self, offset: u64, len: u64, most: usize) -> io::Result<Vec<u8>> {
        let len = len.min(self.content.len().saturating_sub(offset));
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(most)];
        if !bytes.is_empty() {
            self.content.read_exact_at(&mut bytes, offset)?;
        }
        Ok(bytes)
    }

    fn segments(&self) -> io::Result<Option<Vec<Segment>>> {
        let header = self.read(0, 64, 64)?;
        let is_ours = header.len() == 64
            && header[4] == elf::ELFCLASS64.0
            && header[5] == elf::ELFDATA2LSB.0
            && matches!(half(&header, 16), Some(2 | 3))
            && half(&header, 18) == Some(elf::EM_X86_64.0);
        let (Some(offset), Some(size), Some(count)) = (xword(&header, 32), half(&header, 54), half(&header, 56)) else {
            return Ok(None);
        };
        if !is_ours || size < 56 {
            return Ok(None);
        }
        let table = self.read(offset, u64::from(size) * u64::from(count), MAX_HEADERS)?;
        let segment = |entry: &[u8]| {
            Some(Segment {
                kind: elf::ProgramType(word(entry, 0)?),
                offset: xword(entry, 8)?,
                address: xword(entry, 16)?,
                len: xword(entry, 32)?,
            })
        };
        Ok(Some(table.chunks_exact(size.into()).filter_map(segment).collect()))
    }

    fn read_dynamic(&self, segment: &Segment, segments: &[Segment], dynamic: &mut Dynamic) -> io::Result<()> {
        let table = self.read(segment.offset, segment.len, MAX_DYNAMIC)?;
        let entries: Vec<(i64, u64)> = table
            .chunks_exact(16)
            .filter_map(|entry| Some((xword(entry, 0)?.cast_signed(), xword(entry, 8)?)))
            .take_while(|(tag, _)| *tag != 0)
            .collect();
        let address = entries.iter().find(|(tag, _)| *tag == elf::DT_STRTAB.0).map(|(_, value)| *value);
        let Some(strings) = address.and_then(|address| offset_of(address, segments)) else { return Ok(()) };
        let mut old_search = Vec::new();
        for (tag, value) in entries {
            let list = match tag {
                tag if tag == elf::DT_NEEDED.0 => &mut dynamic.needed,
                tag if tag == elf::DT_RUNPATH.0 => &mut dynamic.search,
                tag if tag == elf::DT_RPATH.0 => &mut old_search,
                _ => continue,
            };
            if let Some(at) = strings.checked_add(value) {
                list.extend(self.string(at, MAX_STRING as u64)?);
            }
        }
        if dynamic.search.is_empty() {
            dynamic.search = old_search;
        }
        dynamic.search = dynamic.search.iter().flat_map(|list| list.split(':')).map(str::to_owned).collect();
        Ok(())
    }

    /// The text at `offset` up to a NUL.
    fn string(&self, offset: u64, len: u64) -> io::Result<Option<String>> {
        let bytes = self.read(offset, len, MAX_STRING)?;
        let end = bytes.iter().position(|byte| *byte == 0);
        Ok(end.and_then(|end| String::from_utf8(bytes[..end].to_vec()).ok()).filter(|text| !text.is_empty()))
    }

    fn notes(&self, segment: &Segment) -> io::Result<Vec<Dlopen>> {
        let bytes = self.read(segment.offset, segment.len, MAX_NOTES)?;
        let mut wishes = Vec::new();
        let mut rest = &bytes[..];
        while let Some(note) = next_note(rest) {
            if note.name == NOTE_NAME && note.kind == NOTE_DLOPEN {
                let text = note.text.strip_suffix(b"\0").unwrap_or(note.text);
                wishes.extend(serde_json::from_slice::<Vec<Dlopen>>(text).unwrap_or_default());
            }
            rest = note.rest;
        }
        Ok(wishes)
    }
}

/// A note of a segment of notes.
struct Note<'a> {
    name: &'a [u8],
    kind: u32,
    text: &'a [u8],
    /// The notes after it.
    rest: &'a [u8],
}

/// The first note of `bytes` (`elf(5)`, "Notes").
fn next_note(bytes: &[u8]) -> Option<Note<'_>> {
    let size = |at| usize::try_from(word(bytes, at)?).ok();
    let (name_len, text_len, kind) = (size(0)?, size(4)?, word(bytes, 8)?);
    let text_at = 12usize.checked_add(name_len.checked_next_multiple_of(4)?)?;
    let name = bytes.get(12..12usize.checked_add(name_len)?)?;
    let text = bytes.get(text_at..text_at.checked_add(text_len)?)?;
    let end = text_at.checked_add(text_len.checked_next_multiple_of(4)?)?;
    Some(Note { name, kind, text, rest: bytes.get(end..).unwrap_or_default() })
}

/// The place in the file of what is loaded at `address`.
fn offset_of(address: u64, segments: &[Segment]) -> Option<u64> {
    let loaded = |segment: &&Segment| {
        segment.kind == elf::PT_LOAD && address.checked_sub(segment.address).is_some_and(|at| at < segment.len)
    };
    let segment = segments.iter().find(loaded)?;
    segment.offset.checked_add(address - segment.address)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn xword(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests;
