//! The disks that a power cut can leave, from a log of writes and flushes.
//!
//! What was flushed is there. Of the writes after the last flush each sector of 512 bytes has, on its own, the content of
//! before or any that was written since: so writes are lost, torn, and overtake one another. All combinations are made where
//! they are few; else every prefix, every single sector missing, every single sector alone, and combinations drawn with a
//! seed that is committed.

use super::recorded::{Image, Op, SECTOR};

/// Up to this many combinations of one epoch are all made.
const EXHAUSTIVE: usize = 512;
/// As many are drawn where there are more.
const DRAWN: usize = 600;
const SEED: u64 = 0x51_1b_3a_7e_0c_04_d1_5c;

/// The number of a sector, and the bytes of one write to it.
type SectorWrite = (u64, [u8; SECTOR]);

/// Calls `check` with each disk that a power cut during `log` can leave of `before`, and a description of the cut.
/// Returns how many there were.
pub fn each_crash(before: &Image, log: &[Op], check: &mut dyn FnMut(&Image, &str)) -> usize {
    let mut image = before.clone();
    let mut epoch = Vec::new();
    let mut states = 0;
    let mut random = Random(SEED);
    for (number, op) in log.iter().chain([&Op::Flush]).enumerate() {
        match op {
            Op::Write { offset, bytes } => {
                for (sector, bytes) in (offset / SECTOR as u64..).zip(bytes.chunks_exact(SECTOR)) {
                    epoch.push((sector, bytes.try_into().unwrap()));
                }
            }
            Op::Flush => {
                states += each_of_epoch(&image, &epoch, number, &mut random, check);
                for (sector, bytes) in epoch.drain(..) {
                    image.write(&bytes, sector * SECTOR as u64).unwrap();
                }
            }
        }
    }
    states
}

fn each_of_epoch(
    image: &Image,
    writes: &[SectorWrite],
    end: usize,
    random: &mut Random,
    check: &mut dyn FnMut(&Image, &str),
) -> usize {
    let mut states = 0;
    let mut cut = |chosen: &[usize], how: &str| {
        let mut torn = image.clone();
        for &index in chosen {
            let (sector, bytes) = &writes[index];
            torn.write(bytes, sector * SECTOR as u64).unwrap();
        }
        states += 1;
        check(&torn, &format!("epoch that ends with op {end}, {} sector writes, {how}", writes.len()));
    };
    // Per sector, the writes to it, in order.
    let mut sectors: Vec<(u64, Vec<usize>)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for (index, (sector, _)) in writes.iter().enumerate() {
        let place = *places.entry(*sector).or_insert_with(|| {
            sectors.push((*sector, Vec::new()));
            sectors.len() - 1
        });
        sectors[place].1.push(index);
    }
    let combinations = sectors.iter().try_fold(1_usize, |product, (_, writes)| product.checked_mul(writes.len() + 1));
    if let Some(count) = combinations.filter(|count| *count <= EXHAUSTIVE) {
        for mut number in 0..count {
            let mut chosen = Vec::new();
            for (_, writes) in &sectors {
                chosen.extend((number % (writes.len() + 1)).checked_sub(1).map(|pick| writes[pick]));
                number /= writes.len() + 1;
            }
            cut(&chosen, &format!("of which {chosen:?} lasted"));
        }
        return states;
    }
    let all: Vec<usize> = (0..writes.len()).collect();
    for index in 0..writes.len() {
        cut(&all[..index], &format!("the first {index} lasted"));
        cut(&[index], &format!("only number {index} lasted"));
        let others: Vec<usize> = all.iter().copied().filter(|other| writes[*other].0 != writes[index].0).collect();
        cut(&others, &format!("the sector of number {index} was lost"));
    }
    for _ in 0..DRAWN {
        let mut chosen = Vec::new();
        for (_, writes) in &sectors {
            chosen.extend(random.below(writes.len() + 1).checked_sub(1).map(|pick| writes[pick]));
        }
        cut(&chosen, &format!("of which {chosen:?} lasted"));
    }
    states
}

/// xorshift64*: the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(bits).unwrap() % limit
    }
}
