//! Writes a planned image from its first byte to its last.

use std::io::Write;

use super::format::{DataLayout, FileType};
use super::plan::{Body, Plan, Planned};
use super::{BLOCK_SIZE, ErofsError, ErofsSummary, WriteOptions};
use crate::content::Content;
use crate::tree::{RootTree, TreePath};

const CHUNK: usize = 1 << 20;

/// What the image of `tree` would come to, without writing it or reading a file.
pub fn measure(tree: &RootTree, options: &WriteOptions) -> Result<ErofsSummary, ErofsError> {
    Ok(Plan::new(tree, options)?.summary)
}

/// Writes the image of `tree` to `out`, front to back, in pieces of at most 1 MiB; memory grows with the number of
/// entries, not with their content. `progress` is called with the bytes written so far. `out` is flushed, not synced.
pub fn write(
    tree: &RootTree,
    options: &WriteOptions,
    out: &mut impl Write,
    progress: &mut dyn FnMut(u64),
) -> Result<ErofsSummary, ErofsError> {
    let plan = Plan::new(tree, options)?;
    let mut sink = Sink { out, pending: Vec::with_capacity(CHUNK), flushed: 0, progress };
    sink.put(&plan.superblock.encode())?;
    let mut metadata = plan.metadata_order.iter().map(|index| &plan.inodes[*index]).peekable();
    while let Some(inode) = metadata.next_if(|inode| inode.place < plan.summary.inline_start) {
        write_inode(inode, &plan, &mut sink)?;
    }
    let mut data = plan.data_order.iter().map(|index| &plan.inodes[*index]).peekable();
    while let Some(folder) = data.next_if(|inode| inode.raw.file_type == FileType::Folder) {
        write_blocks(folder, &plan, &mut sink)?;
    }
    for inode in metadata {
        write_inode(inode, &plan, &mut sink)?;
    }
    for inode in data {
        write_blocks(inode, &plan, &mut sink)?;
    }
    sink.pad_to(plan.summary.len)?;
    sink.flush()?;
    sink.out.flush().map_err(|source| ErofsError::Write { offset: plan.summary.len, source })?;
    Ok(plan.summary)
}

fn write_inode(inode: &Planned, plan: &Plan, sink: &mut Sink<'_, impl Write>) -> Result<(), ErofsError> {
    sink.pad_to(inode.place)?;
    let mut head = Vec::new();
    inode.raw.encode(&mut head);
    sink.put(&head)?;
    sink.put(&inode.xattrs)?;
    if inode.raw.layout == DataLayout::Inline {
        write_range(inode, plan, inode.block_bytes(), inode.tail_len(), sink)?;
    }
    Ok(())
}

fn write_blocks(inode: &Planned, plan: &Plan, sink: &mut Sink<'_, impl Write>) -> Result<(), ErofsError> {
    if let Some(block) = inode.block {
        sink.pad_to(block * BLOCK_SIZE)?;
        write_range(inode, plan, 0, inode.block_bytes(), sink)?;
    }
    Ok(())
}

/// Writes `len` bytes of an inode's data from `start` on.
fn write_range(
    inode: &Planned,
    plan: &Plan,
    start: u64,
    len: u64,
    sink: &mut Sink<'_, impl Write>,
) -> Result<(), ErofsError> {
    let bytes = match &inode.body {
        Body::File(content) => return sink.put_content(inode.path, content, start, len),
        Body::Symlink(text) => text.as_bytes().to_vec(),
        Body::Folder { entries, plan: folder } => folder.encode(|index| {
            let (name, target) = entries[index];
            let target = &plan.inodes[target];
            (name, target.nid(), target.raw.file_type)
        }),
        Body::Device(_) | Body::Fifo => Vec::new(),
    };
    let range = usize::try_from(start).ok().zip(usize::try_from(start + len).ok());
    sink.put(range.and_then(|(start, end)| bytes.get(start..end)).unwrap_or_default())
}

/// Collects small pieces into large writes and knows where it is.
struct Sink<'a, W> {
    out: &'a mut W,
    pending: Vec<u8>,
    flushed: u64,
    progress: &'a mut dyn FnMut(u64),
}

impl<W: Write> Sink<'_, W> {
    fn position(&self) -> u64 {
        self.flushed + self.pending.len() as u64
    }

    fn room(&self) -> usize {
        CHUNK - self.pending.len()
    }

    fn flush(&mut self) -> Result<(), ErofsError> {
        let offset = self.flushed;
        self.out.write_all(&self.pending).map_err(|source| ErofsError::Write { offset, source })?;
        self.flushed = self.position();
        self.pending.clear();
        (self.progress)(self.flushed);
        Ok(())
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<(), ErofsError> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(self.room()));
            self.pending.extend_from_slice(now);
            bytes = later;
            self.flush_if_full()?;
        }
        Ok(())
    }

    fn pad_to(&mut self, end: u64) -> Result<(), ErofsError> {
        while self.position() < end {
            let count = self.room().min(usize::try_from(end - self.position()).unwrap_or(usize::MAX));
            self.pending.resize(self.pending.len() + count, 0);
            self.flush_if_full()?;
        }
        Ok(())
    }

    fn put_content(&mut self, path: &TreePath, content: &Content, start: u64, len: u64) -> Result<(), ErofsError> {
        let (mut offset, end) = (start, start + len);
        while offset < end {
            let count = self.room().min(usize::try_from(end - offset).unwrap_or(usize::MAX));
            let old = self.pending.len();
            self.pending.resize(old + count, 0);
            content
                .read_exact_at(&mut self.pending[old..], offset)
                .map_err(|source| ErofsError::Content { path: path.clone(), source })?;
            offset += count as u64;
            self.flush_if_full()?;
        }
        Ok(())
    }

    fn flush_if_full(&mut self) -> Result<(), ErofsError> {
        if self.room() == 0 { self.flush() } else { Ok(()) }
    }
}
