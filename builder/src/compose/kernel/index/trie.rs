//! kmod's binary index: a radix tree, big-endian, written in pre-order (libkmod-index.c, version 2.1).
//!
//! ```text
//! file  = magic u32 | version u32 | root offset u32 | nodes
//! node  = [prefix NUL] [first u8 | last u8 | child offset u32 × (last − first + 1)] [count u32 | (priority u32 | value NUL) × count]
//! ```
//! The three top bits of an offset say which of the three parts its node has.

use super::KernelError;

const MAGIC: u32 = 0xB007_F457;
const VERSION: u32 = 0x0002_0001;
const HEADER: u32 = 12;
const HAS_PREFIX: u32 = 0x8000_0000;
const HAS_VALUES: u32 = 0x4000_0000;
const HAS_CHILDREN: u32 = 0x2000_0000;

/// Keys with values, each with a priority.
#[derive(Default)]
pub(super) struct Trie {
    root: TrieNode,
}

#[derive(Default)]
struct TrieNode {
    prefix: Vec<u8>,
    children: std::collections::BTreeMap<u8, TrieNode>,
    /// Sorted by priority; of equals the newest first.
    values: Vec<(u32, String)>,
}

impl Trie {
    /// Adds `value` under `key`. Both are 7-bit ASCII.
    pub(super) fn insert(&mut self, key: &str, value: &str, priority: u32) -> Result<(), KernelError> {
        for text in [key, value] {
            if !text.is_ascii() || text.contains('\0') {
                return Err(KernelError::NotAscii(text.to_owned()));
            }
        }
        self.root.insert(key.as_bytes(), value, priority);
        Ok(())
    }

    /// The file.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [MAGIC, VERSION, HEADER | self.root.flags()] {
            bytes.extend(word.to_be_bytes());
        }
        self.root.write(&mut bytes);
        bytes
    }
}

impl TrieNode {
    fn insert(&mut self, key: &[u8], value: &str, priority: u32) {
        let shared = self.prefix.iter().zip(key).take_while(|(one, other)| one == other).count();
        if shared < self.prefix.len() {
            let mut lower = std::mem::take(self);
            let rest = lower.prefix.split_off(shared);
            self.prefix = std::mem::replace(&mut lower.prefix, rest.get(1..).unwrap_or_default().to_vec());
            if let Some(first) = rest.first() {
                self.children.insert(*first, lower);
            }
        }
        match key[shared..].split_first() {
            None => {
                let place = self.values.iter().position(|(other, _)| *other >= priority).unwrap_or(self.values.len());
                self.values.insert(place, (priority, value.to_owned()));
            }
            Some((first, rest)) => {
                if let Some(child) = self.children.get_mut(first) {
                    child.insert(rest, value, priority);
                } else {
                    let values = vec![(priority, value.to_owned())];
                    self.children.insert(*first, Self { prefix: rest.to_vec(), values, ..Self::default() });
                }
            }
        }
    }

    fn flags(&self) -> u32 {
        let flag = |is_there: bool, flag: u32| if is_there { flag } else { 0 };
        flag(!self.prefix.is_empty(), HAS_PREFIX)
            | flag(!self.values.is_empty(), HAS_VALUES)
            | flag(!self.children.is_empty(), HAS_CHILDREN)
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        if !self.prefix.is_empty() {
            bytes.extend(&self.prefix);
            bytes.push(0);
        }
        let mut table = bytes.len();
        let mut first_child = 0;
        if let (Some(first), Some(last)) = (self.children.keys().next(), self.children.keys().next_back()) {
            first_child = *first;
            bytes.extend([*first, *last]);
            table = bytes.len();
            bytes.resize(table + 4 * (usize::from(*last - *first) + 1), 0);
        }
        if !self.values.is_empty() {
            bytes.extend(word(self.values.len()).to_be_bytes());
            for (priority, value) in &self.values {
                bytes.extend(priority.to_be_bytes());
                bytes.extend(value.as_bytes());
                bytes.push(0);
            }
        }
        for (letter, child) in &self.children {
            let offset = word(bytes.len()) | child.flags();
            let slot = table + 4 * usize::from(*letter - first_child);
            bytes[slot..slot + 4].copy_from_slice(&offset.to_be_bytes());
            child.write(bytes);
        }
    }
}

/// Lengths and offsets are far below the 28 bits that the format has for them: all module metadata of a kernel is some
/// megabytes.
fn word(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
