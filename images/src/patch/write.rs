//! Writes a patch from its instructions: cuts them into windows, gathers their streams, and compresses these.
//!
//! The same instructions make the same bytes, on any number of threads.

use std::io::{self, Write};

use rayon::prelude::*;
use zstd::zstd_safe::CParameter;

use super::op::{self, OpWriter};
use super::{Head, Op, Pair, PatchError, WINDOW_LOG, Window};
use crate::content::ReadAt;
use crate::digest::{Digest, DigestWriter};
use crate::verity::GROUP_LEN;

/// Most bytes that a window adds, before compression.
const ADD_MAX: u64 = 8 << 20;
/// Most bytes that a window inserts, before compression.
const INSERT_MAX: u64 = 3 << 20;
/// Most instructions of a window.
const OPS_MAX: usize = 1 << 17;
const LEVEL: i32 = 19;

/// The instructions of a window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowPlan {
    /// They make [`new_len`](Self::new_len) bytes.
    pub ops: Vec<Op>,
    /// Bytes that the window makes.
    pub new_len: u64,
    added: u64,
    inserted: u64,
}

impl WindowPlan {
    fn put(&mut self, op: Op) {
        self.new_len += op.len();
        match op {
            Op::Add { len, .. } => self.added += len,
            Op::Insert { len } => self.inserted += len,
            Op::Copy { .. } => {}
        }
        self.ops.push(op);
    }

    /// Whether another group could make it longer than a host has memory for.
    fn is_full(&self) -> bool {
        let full = |bytes: u64, max: u64| bytes + GROUP_LEN > max;
        full(self.added, ADD_MAX) || full(self.inserted, INSERT_MAX) || self.ops.len() > OPS_MAX
    }
}

/// What a written patch came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchSummary {
    /// Length of the patch, in bytes.
    pub len: u64,
    /// Digest of the patch.
    pub digest: Digest,
    /// Length of its head, in bytes.
    pub head_len: u64,
    /// Digest of its head: what a host has to be told by somebody it trusts.
    pub head_digest: Digest,
    /// How many windows there are.
    pub windows: usize,
    /// Bytes of all instructions, compressed.
    pub control: u64,
    /// Bytes of all that is added, compressed.
    pub added: u64,
    /// Bytes of all that is inserted, compressed.
    pub inserted: u64,
}

/// Cuts instructions into windows that a host has memory for. A window ends with a group of the hash tree, 512 KiB, so
/// that the next can be made without it.
pub fn plan_windows(ops: &[Op]) -> Vec<WindowPlan> {
    let mut windows = Vec::new();
    let mut window = WindowPlan::default();
    for op in ops {
        let mut rest = *op;
        while !rest.is_empty() {
            let in_group = GROUP_LEN - window.new_len % GROUP_LEN;
            // A copy costs nothing, however long it is: no border is wanted within it.
            let is_copy = matches!(rest, Op::Copy { .. }) && !window.is_full();
            let len = if is_copy { rest.len() } else { rest.len().min(in_group) };
            let (first, after) = rest.split(len);
            merge_or_put(&mut window, first);
            rest = after;
            if window.new_len.is_multiple_of(GROUP_LEN) && window.is_full() {
                windows.push(std::mem::take(&mut window));
            }
        }
    }
    if window.new_len > 0 {
        windows.push(window);
    }
    windows
}

/// Adds an instruction, as part of the last one where it goes on with it.
fn merge_or_put(window: &mut WindowPlan, op: Op) {
    let merged = match (window.ops.last(), op) {
        (Some(Op::Copy { old, len }), Op::Copy { old: next, len: more }) if old.wrapping_add(*len) == next => {
            Some(Op::Copy { old: *old, len: len + more })
        }
        (Some(Op::Add { old, len }), Op::Add { old: next, len: more }) if old.wrapping_add(*len) == next => {
            Some(Op::Add { old: *old, len: len + more })
        }
        (Some(Op::Insert { len }), Op::Insert { len: more }) => Some(Op::Insert { len: len + more }),
        _ => None,
    };
    window.put(op);
    if let Some(merged) = merged {
        window.ops.truncate(window.ops.len() - 2);
        window.ops.push(merged);
    }
}

/// Writes the patch that these windows make, from `old` and `new` bytes, to `out`. `tree` is the
/// [head of the hash tree](crate::verity::TreeHead) of a new root, and empty for anything else. `done` is told how many
/// new bytes each finished window covers, from any thread. Holds a window per thread, and all of the patch.
pub fn write(
    pair: Pair,
    windows: &[WindowPlan],
    old: &dyn ReadAt,
    new: &dyn ReadAt,
    tree: &[u8],
    out: &mut dyn Write,
    done: &(dyn Fn(u64) + Sync),
) -> Result<PatchSummary, PatchError> {
    let all: Vec<Op> = windows.iter().flat_map(|window| window.ops.iter().copied()).collect();
    op::check(&all, pair.old_len, pair.new_len)?;
    let mut starts = Vec::with_capacity(windows.len());
    windows.iter().fold(0, |start, window| {
        starts.push(start);
        start + window.new_len
    });
    let stored: Vec<Stored> = (windows, &starts)
        .into_par_iter()
        .map(|(window, start)| {
            let stored = Stored::make(window, *start, old, new)?;
            done(window.new_len);
            Ok(stored)
        })
        .collect::<Result<_, PatchError>>()?;
    let entries = stored.iter().zip(windows).zip(&starts).map(|((stored, plan), start)| stored.entry(plan, *start));
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    let memory = |source| PatchError::Write { offset: 0, source };
    let tree_stored = if tree.is_empty() { Vec::new() } else { compress(tree).map_err(memory)? };
    let head = Head::new(pair, entries, tree.to_vec()).encode(&tree_stored)?;
    let mut out = DigestWriter::new(out);
    let mut len = 0;
    for bytes in std::iter::once(&head).chain(stored.iter().flat_map(|stored| &stored.streams)) {
        out.write_all(bytes).map_err(|source| PatchError::Write { offset: len, source })?;
        len += bytes.len() as u64;
    }
    out.flush().map_err(|source| PatchError::Write { offset: len, source })?;
    let sum = |stream: usize| stored.iter().map(|stored| stored.streams[stream].len() as u64).sum();
    Ok(PatchSummary {
        len,
        digest: out.finish().1,
        head_len: head.len() as u64,
        head_digest: Digest::of(&head),
        windows: windows.len(),
        control: sum(0),
        added: sum(1),
        inserted: sum(2),
    })
}

/// The three compressed streams of a window.
struct Stored {
    streams: [Vec<u8>; 3],
}

impl Stored {
    fn make(plan: &WindowPlan, start: u64, old: &dyn ReadAt, new: &dyn ReadAt) -> Result<Self, PatchError> {
        let (mut control, mut added, mut inserted) = (OpWriter::default(), Vec::new(), Vec::new());
        let mut at = start;
        for op in &plan.ops {
            control.put(*op);
            let len = usize::try_from(op.len()).unwrap_or(usize::MAX);
            match *op {
                Op::Copy { .. } => {}
                Op::Add { old: offset, .. } => {
                    let from = added.len();
                    added.resize(from + len, 0);
                    new.read_exact_at(&mut added[from..], at)
                        .map_err(|source| PatchError::New { offset: at, source })?;
                    let mut before = vec![0; len];
                    old.read_exact_at(&mut before, offset).map_err(|source| PatchError::Old { offset, source })?;
                    added[from..].iter_mut().zip(before).for_each(|(new, old)| *new = new.wrapping_sub(old));
                }
                Op::Insert { .. } => {
                    let from = inserted.len();
                    inserted.resize(from + len, 0);
                    new.read_exact_at(&mut inserted[from..], at)
                        .map_err(|source| PatchError::New { offset: at, source })?;
                }
            }
            at += op.len();
        }
        let compressed = |bytes: &[u8]| if bytes.is_empty() { Ok(Vec::new()) } else { compress(bytes) };
        let streams = [control.finish(), added, inserted];
        let failed = |source| PatchError::Write { offset: start, source };
        let [control, added, inserted] = streams.map(|bytes| compressed(&bytes).map_err(failed));
        Ok(Self { streams: [control?, added?, inserted?] })
    }

    fn entry(&self, plan: &WindowPlan, start: u64) -> Result<Window, PatchError> {
        let [control_len, add_len, insert_len] = [0, 1, 2].map(|stream| u32::try_from(self.streams[stream].len()));
        let problem = "a window that is too long";
        let too_long = |_| PatchError::BadOp { at: start, problem };
        let mut digest = DigestWriter::new(io::sink());
        for stream in &self.streams {
            digest.write_all(stream).map_err(|source| PatchError::Write { offset: start, source })?;
        }
        let window = Window {
            new_offset: start,
            new_len: plan.new_len,
            offset: 0, // known when the length of the head is
            control_len: control_len.map_err(too_long)?,
            add_len: add_len.map_err(too_long)?,
            insert_len: insert_len.map_err(too_long)?,
            digest: digest.finish().1,
        };
        if window.stored_len() > super::STORED_MAX {
            return Err(PatchError::BadOp { at: start, problem });
        }
        Ok(window)
    }
}

fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), LEVEL)?;
    encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
    encoder.include_contentsize(false)?;
    encoder.write_all(bytes)?;
    encoder.finish()
}
