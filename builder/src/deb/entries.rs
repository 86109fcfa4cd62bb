//! The entries of one data archive: where they go with merged `/usr`, and whether they contradict each other.

use std::collections::HashMap;

use super::cache::{Row, RowKind};

/// Top-level names that are symbolic links into `/usr` on Debian since 12 (usrmerge).
const MERGED: [&str; 7] = ["bin", "sbin", "lib", "lib32", "lib64", "libo32", "libx32"];

/// The rows so far, with what is needed to find contradictions.
#[derive(Default)]
pub(super) struct Entries {
    rows: Vec<Row>,
    by_path: HashMap<String, usize>,
}

impl Entries {
    /// All of them, in archive order.
    pub fn into_rows(self) -> Vec<Row> {
        self.rows
    }

    /// Takes in `row`, or says what is wrong with it.
    pub fn add(&mut self, mut row: Row) -> Result<(), String> {
        self.check_parents(&row.path)?;
        if let RowKind::HardLink(target) = &row.kind {
            let first = self.first_name_of(target);
            let first = first
                .ok_or_else(|| format!("hard link `{}` points to `{target}`, which is no file before it", row.path))?;
            let Row { mode, uid, gid, xattrs, path, .. } = first.clone();
            row = Row { mode, uid, gid, xattrs, kind: RowKind::HardLink(path), ..row };
        }
        match self.by_path.get(&row.path) {
            None => {
                self.by_path.insert(row.path.clone(), self.rows.len());
                self.rows.push(row);
            }
            // Folders of `/lib` and `/usr/lib` become one; the owner and mode named last count, as with dpkg.
            Some(known) if is_folder(&row) && is_folder(&self.rows[*known]) => self.rows[*known] = row,
            Some(_) => return Err(format!("it has `{}` twice (merged /usr counted)", row.path)),
        }
        Ok(())
    }

    /// No parent may be there as anything but a folder: an archive must not write through its own links.
    fn check_parents(&self, path: &str) -> Result<(), String> {
        let mut rest = path;
        while let Some(end) = rest.rfind('/').filter(|end| *end > 0) {
            rest = &rest[..end];
            if self.by_path.get(rest).is_some_and(|index| !is_folder(&self.rows[*index])) {
                return Err(format!("`{path}` is below `{rest}`, which is no folder"));
            }
        }
        Ok(())
    }

    fn first_name_of(&self, target: &str) -> Option<&Row> {
        let row = &self.rows[*self.by_path.get(target)?];
        match &row.kind {
            RowKind::File { .. } => Some(row),
            // Always the first name itself, see `add`.
            RowKind::HardLink(first) => self.by_path.get(first).map(|index| &self.rows[*index]),
            _ => None,
        }
    }
}

fn is_folder(row: &Row) -> bool {
    matches!(row.kind, RowKind::Folder)
}

/// Where a member goes in a tree with merged `/usr`: `bin/sh` to `/usr/bin/sh`. `None` for a folder that is a link there.
pub(super) fn canonical(path: &str, folder: bool) -> Option<String> {
    let top = path.split('/').next().unwrap_or_default();
    match MERGED.contains(&top) {
        true if path.len() > top.len() => Some(format!("/usr/{path}")),
        true if folder => None,
        _ => Some(format!("/{path}")),
    }
}
