//! The migrations an image carries, as `/usr/lib/slipway/migrations.json`: written by the builder from the recipe, carried out
//! by the agent on the host. Durations are whole milliseconds. An image without migrations doesn't have the file.
//!
//! ```json
//! {"migrations": [
//!     {"name": "app-2", "since": "2026.12.1", "up": "/usr/lib/app/migrate", "reverse": {"down": "/usr/lib/app/migrate"},
//!      "before": ["app.service"], "within_ms": 300000},
//!     {"name": "db", "since": "2026.12.3", "up": null, "reverse": {"copy-aside": ["/var/lib/db"]},
//!      "before": ["db.service"], "within_ms": 300000}]}
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::version::Version;

/// Where the image holds its migrations.
pub const MIGRATIONS_PATH: &str = "/usr/lib/slipway/migrations.json";

/// Where a host keeps what is needed to go back, and how far it is. A host that never migrated doesn't have the folder.
pub const MIGRATIONS_STATE: &str = "/var/lib/slipway/migrations";

/// All migrations of an image, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageMigrations {
    /// `[[migration]]`, ordered by `since`.
    pub migrations: Vec<Migration>,
}

/// How state that older versions have left becomes that of a newer one, and back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Migration {
    /// What tells it from others: a name for files and reports.
    pub name: MigrationName,
    /// The first version whose state is so. The state of every older one is migrated.
    pub since: Version,
    /// A program of the image, absolute path. Nothing if the services change the state by themselves.
    pub up: Option<String>,
    /// How it is undone.
    pub reverse: Reverse,
    /// Units that must not start before it is done.
    pub before: Vec<String>,
    /// What copying, the program, and its reverse may take, each.
    #[serde(rename = "within_ms", with = "crate::milliseconds")]
    pub within: Duration,
}

/// How a migration is undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Reverse {
    /// By a program of the image, absolute path, of which the host keeps a copy before anything is changed.
    Down(String),
    /// By putting back copies of these files and folders of `/var`, which are made before anything is changed.
    CopyAside(Vec<String>),
}

/// The name of a migration: 1 to 64 of `a-z 0-9 . -`, with a letter or digit first. So it can be the name of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MigrationName(String);

/// A text that is no name of a migration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no migration's name: it takes 1 to 64 of a-z, 0-9, `.` and `-`, with a letter or digit first")]
pub struct MigrationNameError(String);

impl MigrationName {
    /// Checks and wraps `text`.
    pub fn new(text: &str) -> Result<Self, MigrationNameError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let good = text.bytes().next().is_some_and(plain)
            && text.len() <= 64
            && text.bytes().all(|byte| plain(byte) || b".-".contains(&byte));
        if good { Ok(Self(text.to_owned())) } else { Err(MigrationNameError(text.to_owned())) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for MigrationName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for MigrationName {
    type Error = MigrationNameError;

    fn try_from(text: String) -> Result<Self, MigrationNameError> {
        Self::new(&text)
    }
}

impl From<MigrationName> for String {
    fn from(name: MigrationName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_file_in_the_image_has_this_shape() {
        let text = r#"{"migrations":[{"name":"app-2","since":"2026.12.1","up":"/usr/lib/app/migrate","reverse":{"down":"/usr/lib/app/migrate"},"before":["app.service"],"within_ms":300000},{"name":"db","since":"2026.12.3","up":null,"reverse":{"copy-aside":["/var/lib/db"]},"before":[],"within_ms":1500}]}"#;
        let read: ImageMigrations = serde_json::from_str(text).unwrap();
        assert_eq!(read.migrations[0].within, Duration::from_mins(5));
        assert_eq!(read.migrations[1].reverse, Reverse::CopyAside(vec!["/var/lib/db".into()]));
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        assert!(serde_json::from_str::<ImageMigrations>(&text.replace("db\",\"since", "../db\",\"since")).is_err());
    }

    #[test]
    fn a_name_can_be_that_of_a_file() {
        for good in ["a", "app-2", "2026.12.schema"] {
            assert_eq!(MigrationName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "-a", ".a", "A", "a/b", "a b", "ü", &"a".repeat(65)] {
            assert!(MigrationName::new(bad).is_err(), "{bad}");
        }
    }
}
