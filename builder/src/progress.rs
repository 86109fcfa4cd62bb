//! What long work tells whoever is watching. Libraries emit events; only the binary draws bars.

/// A phase of a build, in the order they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Reading the archive's index.
    Index,
    /// Choosing packages.
    Solve,
    /// Downloading; units are bytes.
    Fetch,
    /// Unpacking; units are bytes of `.deb`.
    Unpack,
    /// Effects, recipe, pruning, checks.
    Compose,
    /// Committing to the store; units are bytes.
    Seal,
    /// Writing root, verity and disk; units are bytes.
    Write,
    /// Making patches between versions; units are bytes of the new version.
    Patch,
    /// Compressing an image for publication; units are bytes of the root.
    Pack,
    /// Reading an image or a repository to see whether it is whole; units are bytes of roots.
    Verify,
    /// Copying what is published; units are bytes.
    Export,
    /// Booting a machine.
    Boot,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A phase begins; `total` in its units, where known.
    Start(Phase, Option<u64>),
    /// So much more of the phase is done.
    Advance(Phase, u64),
    /// The phase ended; a few words on what came of it.
    Done(Phase, &'a str),
    /// Something a person should know.
    Note(&'a str),
}

/// Whoever is watching.
pub trait Progress: Send + Sync {
    /// Takes an event; must be quick.
    fn event(&self, event: Event<'_>);
}

/// Nobody is.
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: Event<'_>) {}
}
