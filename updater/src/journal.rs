//! What happens to the host's versions, for the system's journal: with fields that programs can ask for.
//!
//! An entry is one datagram to journald's socket, in its native protocol (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL>): `NAME=value`
//! lines, and for a value with line breaks its length as 64 bits, little-endian, before it. Who doesn't listen misses it: nothing waits
//! for the journal, and the ledger has it all.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use slipway_images::disk::Slot;

use crate::ledger::{Happening, Record};
use crate::restart::Wait;

/// Where journald listens.
pub const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";
/// Longest value, in bytes: an entry must fit a datagram.
const VALUE_MAX: usize = 4 << 10;

/// What kind of entry it is, for ever (`systemd-id128(1)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageId {
    /// An installation was begun.
    InstallBegun,
    /// An installation went wrong.
    InstallFailed,
    /// A version is installed, and the next boot tries it.
    Installed,
    /// A version was found good.
    Committed,
    /// A version failed: the host goes back, or has gone back.
    Failed,
    /// An operator allowed a failed version again.
    Allowed,
    /// A restart, or an installation, waits.
    Waits,
}

impl MessageId {
    /// All there are.
    pub const ALL: [Self; 7] = [
        Self::InstallBegun,
        Self::InstallFailed,
        Self::Installed,
        Self::Committed,
        Self::Failed,
        Self::Allowed,
        Self::Waits,
    ];

    /// The id, as `MESSAGE_ID` has it.
    pub const fn id(self) -> &'static str {
        match self {
            Self::InstallBegun => "a8e2bec3c9c9027f4269d4b2f9e23564",
            Self::InstallFailed => "a505bd1e7adc47d34c829494d332339d",
            Self::Installed => "bdd63914483ae760a1d2102f2e390fd9",
            Self::Committed => "a52aa312ca07d04b8a14df5212eed30b",
            Self::Failed => "e055ba8b34fed615097b6a655a18ef7d",
            Self::Allowed => "1c09a9f3c57dd792847e743e30d2735d",
            Self::Waits => "e94a466b8863462f2d7b849690b73eb5",
        }
    }

    /// `warning` or `notice` (`syslog(3)`).
    const fn priority(self) -> &'static str {
        match self {
            Self::InstallFailed | Self::Failed => "4",
            Self::InstallBegun | Self::Installed | Self::Committed | Self::Allowed | Self::Waits => "5",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::InstallBegun => "is being installed",
            Self::InstallFailed => "could not be installed",
            Self::Installed => "is installed, and the next boot tries it",
            Self::Committed => "was found good",
            Self::Failed => "failed",
            Self::Allowed => "may be installed again",
            Self::Waits => "is installed or offered",
        }
    }
}

impl From<Happening> for MessageId {
    fn from(what: Happening) -> Self {
        match what {
            Happening::InstallBegun => Self::InstallBegun,
            Happening::InstallFailed => Self::InstallFailed,
            Happening::Armed => Self::Installed,
            Happening::Committed => Self::Committed,
            Happening::Failed => Self::Failed,
            Happening::Allowed => Self::Allowed,
        }
    }
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// What kind.
    pub id: MessageId,
    /// Of which version: `edge-web_2026.11.22`.
    pub version: String,
    /// In which slot it is, if in any.
    pub slot: Option<Slot>,
    /// Why, where there is a reason.
    pub reason: String,
}

impl News {
    /// What the ledger has written down.
    pub fn of_record(record: &Record, slot: Option<Slot>) -> Self {
        Self { id: record.what.into(), version: record.label.clone(), slot, reason: record.detail.clone() }
    }

    /// That the restart into a version waits, or its installation if it is in no slot.
    pub fn of_wait(version: String, slot: Option<Slot>, wait: &Wait) -> Self {
        let what = if slot.is_some() { "restart" } else { "installation" };
        Self { id: MessageId::Waits, version, slot, reason: format!("the {what} {wait}") }
    }

    /// The entry, as journald takes it.
    pub fn encode(&self) -> Vec<u8> {
        let message = match (self.id, self.reason.as_str()) {
            (id, "") => format!("{} {}", self.version, id.words()),
            (MessageId::Waits, reason) => format!("{}: {reason}", self.version),
            (id, reason) => format!("{} {}: {reason}", self.version, id.words()),
        };
        let mut entry = Vec::new();
        let mut field = |name: &str, value: &str| put(&mut entry, name, value);
        field("MESSAGE", &message);
        field("MESSAGE_ID", self.id.id());
        field("PRIORITY", self.id.priority());
        field("SYSLOG_IDENTIFIER", "slipway-agent");
        field("SLIPWAY_VERSION", &self.version);
        if let Some(slot) = self.slot {
            field("SLIPWAY_SLOT", &slot.to_string());
        }
        if !self.reason.is_empty() {
            field("SLIPWAY_REASON", &self.reason);
        }
        entry
    }

    /// Tells journald at `socket`. A journal that is full doesn't hold anybody up.
    pub fn tell(&self, socket: &Path) -> io::Result<()> {
        let from = UnixDatagram::unbound()?;
        from.set_nonblocking(true)?;
        from.send_to(&self.encode(), socket).map(drop)
    }
}

fn put(entry: &mut Vec<u8>, name: &str, value: &str) {
    let end = (0..=value.len().min(VALUE_MAX)).rev().find(|end| value.is_char_boundary(*end)).unwrap_or(0);
    let value = &value[..end];
    entry.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ledger::UnixSeconds;

    /// The fields of an entry, read as the protocol has them.
    fn decode(mut entry: &[u8]) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        while !entry.is_empty() {
            let end = entry.iter().position(|byte| *byte == b'\n').unwrap();
            let (line, rest) = (&entry[..end], &entry[end + 1..]);
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            if let Some(equals) = line.iter().position(|byte| *byte == b'=') {
                fields.push((text(&line[..equals]), text(&line[equals + 1..])));
                entry = rest;
            } else {
                let len = usize::try_from(u64::from_le_bytes(*rest.first_chunk().unwrap())).unwrap();
                fields.push((text(line), text(&rest[8..8 + len])));
                assert_eq!(rest[8 + len], b'\n');
                entry = &rest[9 + len..];
            }
        }
        fields
    }

    #[test]
    fn an_entry_has_its_fields_and_text_from_elsewhere_adds_none() {
        let reason = "web: down\nMESSAGE_ID=0\n".to_owned();
        let record =
            Record { at: UnixSeconds(1), what: Happening::Failed, label: "web_2".to_owned(), detail: reason.clone() };
        let news = News::of_record(&record, Some(Slot::B));
        let expected = [
            ("MESSAGE", format!("web_2 failed: {reason}")),
            ("MESSAGE_ID", MessageId::Failed.id().to_owned()),
            ("PRIORITY", "4".to_owned()),
            ("SYSLOG_IDENTIFIER", "slipway-agent".to_owned()),
            ("SLIPWAY_VERSION", "web_2".to_owned()),
            ("SLIPWAY_SLOT", "b".to_owned()),
            ("SLIPWAY_REASON", reason),
        ];
        assert_eq!(decode(&news.encode()), expected.map(|(name, value)| (name.to_owned(), value)));
    }

    #[test]
    fn journald_gets_one_datagram_that_is_never_too_long() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let journald = UnixDatagram::bind(&path).unwrap();
        let news = News { id: MessageId::Waits, version: "web_2".to_owned(), slot: None, reason: "ü".repeat(100_000) };
        news.tell(&path).unwrap();
        let mut buffer = vec![0; 1 << 20];
        let len = journald.recv(&mut buffer).unwrap();
        assert!(len < 3 * VALUE_MAX);
        assert_eq!(decode(&buffer[..len]).last().unwrap().1, "ü".repeat(VALUE_MAX / 2));
        assert!(news.tell(&folder.path().join("nobody")).is_err());
    }

    #[test]
    fn each_kind_has_an_id_of_its_own() {
        let mut ids: Vec<&str> = MessageId::ALL.map(MessageId::id).to_vec();
        assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), MessageId::ALL.len());
    }
}
