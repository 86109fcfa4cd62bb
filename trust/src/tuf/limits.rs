//! How much a server can make a client read.

/// Bounds of one client. A document that says its length is read up to that, if these allow so much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// Bytes of a root.
    pub root: u64,
    /// Bytes of a timestamp.
    pub timestamp: u64,
    /// Bytes of a snapshot.
    pub snapshot: u64,
    /// Bytes of the metadata of a targets role.
    pub targets: u64,
    /// Roots that are taken one after another in a single refresh.
    pub root_rotations: u32,
    /// Delegated roles that are asked about one target.
    pub delegations: u32,
}

impl Default for ClientLimits {
    /// 512 KiB, 16 KiB, 2 MiB, 5 MiB; 256 new roots; 32 delegated roles.
    fn default() -> Self {
        Self {
            root: 512 << 10,
            timestamp: 16 << 10,
            snapshot: 2 << 20,
            targets: 5 << 20,
            root_rotations: 256,
            delegations: 32,
        }
    }
}
