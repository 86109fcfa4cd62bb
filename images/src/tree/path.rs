//! Paths in a tree.

use std::fmt;
use std::sync::Arc;

use super::TreeError;

/// An absolute, normalised path in a tree: `/`, `/usr/bin/env`. No `.`, `..`, empty part, NUL or trailing slash.
/// Ordered so that a folder comes directly before all that is in it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TreePath(Arc<str>);

impl TreePath {
    /// The path `/`.
    pub fn root() -> Self {
        Self("/".into())
    }

    /// Checks and wraps `text`.
    pub fn new(text: &str) -> Result<Self, TreeError> {
        let good = text == "/"
            || text.strip_prefix('/').is_some_and(|rest| {
                rest.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && !part.contains('\0'))
            });
        if good { Ok(Self(text.into())) } else { Err(TreeError::BadPath(text.to_owned())) }
    }

    /// The text, beginning with `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The parts between the slashes; none for `/`.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|part| !part.is_empty())
    }

    /// The last part; empty for `/`.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The folder this path is in; `None` for `/`.
    pub fn parent(&self) -> Option<Self> {
        match self.0.rfind('/')? {
            _ if &*self.0 == "/" => None,
            0 => Some(Self::root()),
            end => Some(Self(self.0[..end].into())),
        }
    }

    /// `relative` below this path.
    pub fn join(&self, relative: &str) -> Result<Self, TreeError> {
        Self::new(&format!("{}/{relative}", self.0.trim_end_matches('/')))
    }

    /// Where a symbolic link at this path with the text `target` points, `..` folded, links on the way not followed.
    /// Never leaves the root.
    #[must_use]
    pub fn resolve_link(&self, target: &str) -> Self {
        let mut parts: Vec<&str> = if target.starts_with('/') {
            Vec::new()
        } else {
            let mut own: Vec<&str> = self.parts().collect();
            own.pop();
            own
        };
        for part in target.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                name => parts.push(name),
            }
        }
        Self(format!("/{}", parts.join("/")).into())
    }

    /// Whether this path is `folder` or below it.
    pub fn is_within(&self, folder: &Self) -> bool {
        match self.0.strip_prefix(folder.0.trim_end_matches('/')) {
            Some(rest) => rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // A slash sorts before every other byte, so that `/a/b` comes before `/a-b`.
        let key = |byte: u8| if byte == b'/' { 0 } else { u16::from(byte) + 1 };
        self.0.trim_end_matches('/').bytes().map(key).cmp(other.0.trim_end_matches('/').bytes().map(key))
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl std::str::FromStr for TreePath {
    type Err = TreeError;

    fn from_str(text: &str) -> Result<Self, TreeError> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn path(text: &str) -> TreePath {
        text.parse().unwrap()
    }

    #[test]
    fn paths_are_normalised_or_refused() {
        for bad in ["", "usr", "/usr/", "//", "/a//b", "/a/../b", "/a/.", "/a\0b"] {
            assert!(TreePath::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(path("/usr/bin").parent(), Some(path("/usr")));
        assert_eq!(path("/usr").parent(), Some(TreePath::root()));
        assert_eq!(TreePath::root().parent(), None);
        assert_eq!(path("/usr/lib/x").resolve_link("../../bin/sh"), path("/bin/sh"));
        assert_eq!(path("/bin").resolve_link("../../../etc"), path("/etc"));
    }
}
