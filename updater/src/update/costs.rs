//! Which way an update comes: by patches of what runs, or by its blocks.

use serde::Serialize;
use slipway_images::release::ReleaseDocument;
use slipway_images::verity::RootHash;

/// What an update would fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Costs {
    /// Bytes by a patch of the running version, if there is one.
    pub patch: Option<u64>,
    /// Bytes by blocks, at least: hash tree, index and kernel image. Without the first two nobody knows which blocks a host
    /// lacks.
    pub blocks_at_least: u64,
    /// Bytes by blocks, at most: those that the host has are not fetched.
    pub blocks_at_most: u64,
}

/// The way that a root comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// By patch.
    Patch,
    /// By its blocks.
    Blocks,
}

impl Costs {
    /// What this release would cost a host with that root.
    pub fn of(release: &ReleaseDocument, running: RootHash) -> Self {
        let parts = &release.parts;
        let patch = release
            .patch_from(running)
            .map(|patch| patch.root.size.saturating_add(patch.uki.map_or(parts.uki.size, |uki| uki.size)));
        let least = [parts.verity.size, parts.uki.size, parts.blocks.index.size];
        let blocks_at_least = least.into_iter().fold(0, u64::saturating_add);
        Self { patch, blocks_at_least, blocks_at_most: blocks_at_least.saturating_add(parts.blocks.frames.size) }
    }

    /// The patch, unless there is none, or all blocks together cost less. A patch that costs more than hash tree and index is
    /// taken too: what the blocks come to can't be known before these two are paid for, and a patch sends less of each
    /// file than the blocks that hold it.
    pub fn choose(&self) -> Tier {
        match self.patch {
            Some(patch) if patch <= self.blocks_at_most => Tier::Patch,
            _ => Tier::Blocks,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_is_taken_unless_all_blocks_cost_less() {
        for (patch, tier) in
            [(Some(5), Tier::Patch), (Some(90), Tier::Patch), (Some(91), Tier::Blocks), (None, Tier::Blocks)]
        {
            assert_eq!(Costs { patch, blocks_at_least: 20, blocks_at_most: 90 }.choose(), tier, "{patch:?}");
        }
    }
}
