//! One key of a document set or taken out, with all else left as it is: comments, blank lines, order.

use std::cmp::Ordering;

use toml_edit::{DocumentMut, Item, Key, Table, Value};

/// Why a document can't be edited.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The document is none.
    #[error("the document is no TOML: put it right with `slipway-agent config edit` or `apply` first")]
    Document(#[source] toml_edit::TomlError),
    /// The key is none.
    #[error("`{0}` is no key: write one as in the document, with dots: `update.channel`, `network.0.mtu`")]
    Key(String),
    /// A part of the key is no table, or not there.
    #[error(
        "`{0}` can't be set: `{1}` is not there, or holds no keys. Entries are added with `slipway-agent config edit` or `apply`"
    )]
    Path(String, String),
    /// There is nothing to take out.
    #[error("`{0}` is not set")]
    NotSet(String),
}

/// `text` with `key` set. The value is TOML (`3`, `true`, `["a", "b"]`), or else a text without its quotes.
pub fn set(text: &str, key: &str, value: &str) -> Result<String, EditError> {
    let (mut document, parts) = parse(text, key)?;
    let value: Value = value.parse().unwrap_or_else(|_| Value::from(value));
    let [above @ .., last] = &parts[..] else { return Err(EditError::Key(key.to_owned())) };
    let holder = walk(document.as_item_mut(), above, key, true)?;
    let name = last.get();
    if let (Some(entry), Some(items)) = (name.parse::<usize>().ok(), holder.as_array_mut()) {
        // One beyond the last is added.
        match entry.cmp(&items.len()) {
            Ordering::Less => drop(items.replace(entry, value)),
            Ordering::Equal => items.push(value),
            Ordering::Greater => return Err(EditError::Path(key.to_owned(), name.to_owned())),
        }
        return Ok(document.to_string());
    }
    let Some(table) = holder.as_table_like_mut() else {
        return Err(EditError::Path(key.to_owned(), parts_text(above)));
    };
    match table.get_mut(name) {
        Some(Item::Value(old)) => {
            // With its comment.
            let decor = old.decor().clone();
            *old = value;
            *old.decor_mut() = decor;
        }
        Some(_) => return Err(EditError::Path(key.to_owned(), name.to_owned())),
        None => {
            table.insert(name, Item::Value(value));
        }
    }
    Ok(document.to_string())
}

/// `text` without `key`.
pub fn unset(text: &str, key: &str) -> Result<String, EditError> {
    let (mut document, parts) = parse(text, key)?;
    let [above @ .., last] = &parts[..] else { return Err(EditError::Key(key.to_owned())) };
    let holder = walk(document.as_item_mut(), above, key, false).map_err(|_| EditError::NotSet(key.to_owned()))?;
    let name = last.get();
    let index = name.parse::<usize>().ok();
    let removed = match holder {
        Item::ArrayOfTables(entries) => {
            index.filter(|index| *index < entries.len()).map(|index| entries.remove(index)).is_some()
        }
        Item::Value(Value::Array(items)) => {
            index.filter(|index| *index < items.len()).map(|index| items.remove(index)).is_some()
        }
        other => other.as_table_like_mut().and_then(|table| table.remove(name)).is_some(),
    };
    if removed { Ok(document.to_string()) } else { Err(EditError::NotSet(key.to_owned())) }
}

fn parse(text: &str, key: &str) -> Result<(DocumentMut, Vec<Key>), EditError> {
    let document = text.parse().map_err(EditError::Document)?;
    Ok((document, Key::parse(key).map_err(|_| EditError::Key(key.to_owned()))?))
}

/// The item at a path. Tables that aren't there are made if `make` says so: `[update]` of the first part, dotted keys of the others.
fn walk<'a>(item: &'a mut Item, parts: &[Key], key: &str, make: bool) -> Result<&'a mut Item, EditError> {
    let mut here = item;
    for (depth, part) in parts.iter().enumerate() {
        let name = part.get();
        let lost = || EditError::Path(key.to_owned(), parts_text(&parts[..=depth]));
        let has_entries = matches!(here, Item::ArrayOfTables(_) | Item::Value(Value::Array(_)));
        here = if has_entries {
            let index: usize = name.parse().map_err(|_| lost())?;
            here.get_mut(index).ok_or_else(lost)?
        } else {
            let table = here.as_table_like_mut().ok_or_else(lost)?;
            if make && !table.contains_key(name) {
                let mut new = Table::new();
                new.set_dotted(depth > 0);
                table.insert(name, Item::Table(new));
            }
            table.get_mut(name).ok_or_else(lost)?
        };
    }
    Ok(here)
}

fn parts_text(parts: &[Key]) -> String {
    parts.iter().map(Key::get).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TEXT: &str = "# Hall 3, rack 7.\nhostname = \"a\" # for now\n\n[[network]]\n# the uplink\nname = \"en*\"\ndns = [\"192.0.2.1\"]\n\n\
        [sysctl]\nnet.core.somaxconn = 1\n";

    #[test]
    fn comments_stay() {
        assert_eq!(set(TEXT, "hostname", "b").unwrap(), TEXT.replace("\"a\"", "\"b\""));
        assert_eq!(set(TEXT, "network.0.name", "eth0").unwrap(), TEXT.replace("en*", "eth0"));
        assert_eq!(
            set(TEXT, "sysctl.net.core.somaxconn", "4096").unwrap(),
            TEXT.replace("somaxconn = 1", "somaxconn = 4096")
        );
        let dns = set(TEXT, "network.0.dns", "[\"192.0.2.1\", \"192.0.2.2\"]").unwrap();
        assert_eq!(dns, TEXT.replace("[\"192.0.2.1\"]", "[\"192.0.2.1\", \"192.0.2.2\"]"));
        assert_eq!(set(TEXT, "network.0.dns.1", "192.0.2.2").unwrap(), dns);
        let unset = unset(TEXT, "hostname").unwrap();
        assert_eq!(unset, TEXT.replace("# Hall 3, rack 7.\nhostname = \"a\" # for now\n", ""));
    }

    #[test]
    fn what_is_not_there_is_made_where_it_belongs() {
        assert_eq!(set("", "hostname", "a").unwrap(), "hostname = \"a\"\n");
        assert_eq!(set("", "update.channel", "testing").unwrap(), "[update]\nchannel = \"testing\"\n");
        assert_eq!(set("", "update.restart", "false").unwrap(), "[update]\nrestart = false\n");
        assert_eq!(set("", "sysctl.net.core.somaxconn", "1").unwrap(), "[sysctl]\nnet.core.somaxconn = 1\n");
        let both = set(TEXT, "sysctl.net.ipv4.ip_forward", "1").unwrap();
        assert!(both.ends_with("net.core.somaxconn = 1\nnet.ipv4.ip_forward = 1\n"), "{both}");
        let top = set("[update]\nrestart = false\n", "hostname", "a").unwrap();
        assert_eq!(top, "hostname = \"a\"\n[update]\nrestart = false\n");
    }

    #[test]
    fn what_can_not_be_set_is_said() {
        for (key, words) in [
            ("", "is no key"),
            ("a..b", "is no key"),
            ("network.1.mtu", "`network.1` is not there"),
            ("network.x.mtu", "`network.x` is not there"),
            ("hostname.x", "`hostname` is not there, or holds no keys"),
            ("network", "`network` is not there, or holds no keys"),
        ] {
            let error = set(TEXT, key, "1").unwrap_err().to_string();
            assert!(error.contains(words), "{key}: {error}");
        }
        for key in ["timezone", "update.channel", "network.3", "network.0.dns.1"] {
            assert!(matches!(unset(TEXT, key), Err(EditError::NotSet(_))), "{key}");
        }
        assert!(matches!(set("a =", "b", "1"), Err(EditError::Document(_))));
        assert!(!unset(TEXT, "network.0").unwrap().contains("network"));
    }
}
