//! Finds content in old bytes: a suffix array, and the two ways of comparing that rest on it.
//!
//! [`approximate`] is the way of Colin Percival's bsdiff ("Naive differences of executable code", 2003): a region goes
//! on past bytes that differ as long as most are equal, and differences are small numbers that repeat. It suits code,
//! where every address has moved. [`exact`] takes only equal runs, and suits texts and tables.

use libsais::SuffixArrayConstruction;
use slipway_images::patch::Op;

use super::MakeError;

/// A longer run than this is not measured to its end: it is continued by the next look-up.
const RUN_MAX: usize = 1 << 16;
/// A region of bsdiff has to beat the one before by so many equal bytes.
const BETTER_BY: usize = 8;
/// Shortest run that is copied by [`exact`].
const EXACT_MIN: usize = 32;

/// Old bytes, and where each of their ends is in the order of the alphabet.
pub(super) struct Sorted<'a> {
    old: &'a [u8],
    order: Vec<i32>,
    /// Where in `order` the ends begin that start with these two bytes, and where they stop: two thirds of a search.
    starts: Vec<usize>,
}

/// A run of old bytes.
#[derive(Clone, Copy, Default)]
struct Run {
    at: usize,
    len: usize,
}

impl<'a> Sorted<'a> {
    pub fn new(old: &'a [u8]) -> Result<Self, MakeError> {
        let order = if old.is_empty() {
            Vec::new()
        } else {
            let construction = SuffixArrayConstruction::for_text(old).in_owned_buffer32().single_threaded();
            construction.run().map_err(|error| MakeError::Compare(format!("{error:?}")))?.into_vec()
        };
        Ok(Self { old, order, starts: starts(old) })
    }

    /// The longest run of old bytes that `wanted` begins with.
    fn longest(&self, wanted: &[u8]) -> Run {
        let wanted = &wanted[..wanted.len().min(RUN_MAX)];
        let at = |place: usize| self.order.get(place).and_then(|at| usize::try_from(*at).ok());
        let [first, second, ..] = *wanted else { return Run::default() };
        let pair = usize::from(u16::from_be_bytes([first, second]));
        let (mut low, mut high) = (self.starts[pair], self.starts[pair + 1]);
        // The last byte alone was counted to the first pair that it begins.
        if low < high && second == 0 && self.old.last() == Some(&first) {
            low += 1;
        }
        // Both ends of the range begin with this many bytes of `wanted` at least, and so does all between them.
        let (mut low_shared, mut high_shared) = (2, 2);
        let mut best = Run::default();
        while low < high {
            let middle = low + (high - low) / 2;
            let Some(place) = at(middle) else { break };
            let known = usize::min(low_shared, high_shared);
            let shared = known + shared_len(&self.old[place + known..], &wanted[known..]);
            if shared > best.len {
                best = Run { at: place, len: shared };
            }
            if shared == wanted.len() {
                break;
            }
            let is_before = self.old.get(place + shared).is_none_or(|byte| *byte < wanted[shared]);
            if is_before {
                (low, low_shared) = (middle + 1, shared);
            } else {
                (high, high_shared) = (middle, shared);
            }
        }
        best
    }
}

/// For each pair of bytes how many ends come before those that start with it; and how many there are.
fn starts(old: &[u8]) -> Vec<usize> {
    let mut counts = vec![0; (1 << 16) + 1];
    for pair in old.windows(2) {
        counts[usize::from(u16::from_be_bytes([pair[0], pair[1]]))] += 1;
    }
    // The last byte alone comes before all pairs that it is the first of.
    if let Some(last) = old.last() {
        counts[usize::from(u16::from_be_bytes([*last, 0]))] += 1;
    }
    let mut sum = 0;
    for count in &mut counts {
        (*count, sum) = (sum, sum + *count);
    }
    counts
}

/// How many bytes two slices begin with alike.
fn shared_len(one: &[u8], other: &[u8]) -> usize {
    let (ones, others) = (one.as_chunks::<8>().0, other.as_chunks::<8>().0);
    let words = ones.iter().zip(others).take_while(|(one, other)| one == other).count() * 8;
    words + one[words..].iter().zip(&other[words..]).take_while(|(one, other)| one == other).count()
}

/// Instructions that make `new`, by regions of mostly equal bytes. `base` is where the old bytes start in the old version.
pub(super) fn approximate(sorted: &Sorted<'_>, base: u64, new: &[u8]) -> Vec<Op> {
    let old = sorted.old;
    let mut ops = Vec::new();
    // The region that is open: new bytes from `start` on are compared with old ones from `from` on.
    let (mut start, mut from) = (0_usize, 0_usize);
    let (mut scan, mut run) = (0_usize, Run::default());
    while scan < new.len() {
        let offset = from.wrapping_sub(start);
        let equal_at = |at: usize| old.get(at.wrapping_add(offset)).is_some_and(|byte| *byte == new[at]);
        // How many bytes the open region would have right within the run that was found.
        let mut open_score = 0;
        scan += run.len;
        let mut scored = scan;
        while scan < new.len() {
            run = sorted.longest(&new[scan..]);
            // Runs of one byte aren't looked up; whether that byte is right counts all the same.
            while scored < scan + run.len.max(1) {
                open_score += usize::from(equal_at(scored));
                scored += 1;
            }
            if (run.len == open_score && run.len != 0) || run.len > open_score + BETTER_BY {
                break;
            }
            open_score -= usize::from(equal_at(scan));
            scan += 1;
        }
        if run.len == open_score && scan < new.len() {
            continue;
        }
        let mut forward = best_forward(&new[start..scan], &old[from.min(old.len())..]);
        let mut backward = if scan < new.len() { best_backward(&new[start..scan], &old[..run.at]) } else { 0 };
        if forward + backward > scan - start {
            let overlap = forward + backward - (scan - start);
            let kept = best_cut(
                &new[start + forward - overlap..start + forward],
                &old[from + forward - overlap..from + forward],
                &old[run.at - backward..],
            );
            forward = forward - overlap + kept;
            backward -= kept;
        }
        push_add(&mut ops, base, old, from, &new[start..start + forward]);
        push(&mut ops, Op::Insert { len: (scan - backward - start - forward) as u64 });
        (start, from) = (scan - backward, run.at.wrapping_sub(backward));
    }
    ops
}

/// How far the open region goes on forwards: where most more bytes are equal than not.
fn best_forward(new: &[u8], old: &[u8]) -> usize {
    let (mut score, mut best_score, mut best) = (0_isize, 0, 0);
    for (at, (new, old)) in new.iter().zip(old).enumerate() {
        score += if new == old { 1 } else { -1 };
        if score > best_score {
            (best_score, best) = (score, at + 1);
        }
    }
    best
}

/// How far the next region reaches backwards.
fn best_backward(new: &[u8], old: &[u8]) -> usize {
    let (mut score, mut best_score, mut best) = (0_isize, 0, 0);
    for (at, (new, old)) in new.iter().rev().zip(old.iter().rev()).enumerate() {
        score += if new == old { 1 } else { -1 };
        if score > best_score {
            (best_score, best) = (score, at + 1);
        }
    }
    best
}

/// How many bytes of an overlap are better left to the region before.
fn best_cut(new: &[u8], before: &[u8], after: &[u8]) -> usize {
    let (mut score, mut best_score, mut best) = (0_isize, 0, 0);
    for (at, new) in new.iter().enumerate() {
        score += isize::from(before.get(at) == Some(new)) - isize::from(after.get(at) == Some(new));
        if score > best_score {
            (best_score, best) = (score, at + 1);
        }
    }
    best
}

/// Equal runs at least this long are copied; they would cost more to decompress as zeros than to name.
const COPY_MIN: usize = 1 << 10;

/// An addition of `new` to the old bytes from `from` on, with long equal runs taken out.
fn push_add(ops: &mut Vec<Op>, base: u64, old: &[u8], from: usize, new: &[u8]) {
    let place = |at: usize| base + (from + at) as u64;
    let Some(old) = old.get(from..from.wrapping_add(new.len())) else { return };
    let (mut start, mut at) = (0, 0);
    while at < new.len() {
        let equal = shared_len(&new[at..], &old[at..]);
        if equal >= COPY_MIN || (equal == new.len() && equal > 0) {
            push(ops, Op::Add { old: place(start), len: (at - start) as u64 });
            push(ops, Op::Copy { old: place(at), len: equal as u64 });
            start = at + equal;
        }
        at += equal + 1;
    }
    push(ops, Op::Add { old: place(start), len: new.len().saturating_sub(start) as u64 });
}

fn push(ops: &mut Vec<Op>, op: Op) {
    if !op.is_empty() {
        ops.push(op);
    }
}

/// Instructions that make `new`, by equal runs alone.
pub(super) fn exact(sorted: &Sorted<'_>, base: u64, new: &[u8]) -> Vec<Op> {
    let mut ops = Vec::new();
    let (mut at, mut inserted) = (0, 0);
    while at < new.len() {
        let mut run = sorted.longest(&new[at..]);
        if run.len < EXACT_MIN {
            at += 1;
            continue;
        }
        // What was taken for new may belong to the run.
        let before = new[inserted..at].iter().rev().zip(sorted.old[..run.at].iter().rev());
        let back = before.take_while(|(new, old)| new == old).count();
        run.at -= back;
        at -= back;
        run.len += back;
        run.len += shared_len(&new[at + run.len..], &sorted.old[run.at + run.len..]);
        push(&mut ops, Op::Insert { len: (at - inserted) as u64 });
        push(&mut ops, Op::Copy { old: base + run.at as u64, len: run.len as u64 });
        at += run.len;
        inserted = at;
    }
    push(&mut ops, Op::Insert { len: (new.len() - inserted) as u64 });
    ops
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn apply(ops: &[Op], old: &[u8], base: u64, new: &[u8]) -> Vec<u8> {
        let mut made = Vec::new();
        for op in ops {
            let at = made.len();
            let len = usize::try_from(op.len()).unwrap();
            match *op {
                // What is added is what differs, so that only its place can be wrong.
                Op::Add { old: from, .. } => {
                    let from = usize::try_from(from - base).unwrap();
                    assert!(from + len <= old.len());
                    made.extend_from_slice(&new[at..at + len]);
                }
                Op::Copy { old: from, .. } => {
                    made.extend_from_slice(&old[usize::try_from(from - base).unwrap()..][..len]);
                }
                Op::Insert { .. } => made.extend_from_slice(&new[at..at + len]),
            }
        }
        made
    }

    #[test]
    fn the_longest_run_is_what_a_plain_search_finds() {
        let old = b"abracadabra\0abrac\0\0a\0";
        let sorted = Sorted::new(old).unwrap();
        for wanted in [&b"abrac\0x"[..], b"adabra\0abrac", b"\0\0a\0q", b"a\0", b"a\0\0", b"xyz", b"a", b"\0\0\0"] {
            let plain = (0..old.len()).map(|at| shared_len(&old[at..], wanted)).max().unwrap();
            let run = sorted.longest(wanted);
            assert_eq!(run.len, if plain < 2 { 0 } else { plain }, "{wanted:?}");
            assert_eq!(old[run.at..run.at + run.len], wanted[..run.len]);
        }
        assert_eq!(Sorted::new(b"").unwrap().longest(b"abc").len, 0);
    }

    #[test]
    fn both_ways_make_the_new_bytes() {
        let old: Vec<u8> = (0..60_000_u32).flat_map(|word| (word * word).to_le_bytes()).collect();
        let mut moved = old[40_000..90_000].to_vec();
        moved.iter_mut().step_by(37).for_each(|byte| *byte ^= 5);
        let versions = [
            old.clone(),
            [&old[100..50_000], b"something new", &old[30_000..]].concat(),
            [&moved[..], &[0; 5000], &moved[700..]].concat(),
            b"?".to_vec(),
            Vec::new(),
        ];
        for new in &versions {
            for old in [&old[..], &moved[..], b"", b"x"] {
                let sorted = Sorted::new(old).unwrap();
                assert!(apply(&approximate(&sorted, 7, new), old, 7, new) == *new);
                assert!(apply(&exact(&sorted, 7, new), old, 7, new) == *new);
            }
        }
    }

    #[test]
    fn a_moved_region_with_changed_addresses_is_one_addition() {
        let old: Vec<u8> = (0..4000_u32).flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let mut new = old[500..].to_vec();
        new.iter_mut().step_by(101).for_each(|byte| *byte = byte.wrapping_add(16));
        let sorted = Sorted::new(&old).unwrap();
        let ops = approximate(&sorted, 0, &new);
        let inserted: u64 = ops.iter().filter(|op| matches!(op, Op::Insert { .. })).map(Op::len).sum();
        assert!(inserted < 16 && ops.len() < 4, "{ops:?}");
    }
}
