//! Where archives are. No part of recipe or lock: a lock holds at any mirror.

use std::collections::BTreeMap;
use std::path::Path;

use super::{RepositoryError, sources};
use crate::recipe::Repository;

/// Name of the Debian archive in a lock.
pub const DEBIAN: &str = "debian";
/// Name of the archive of Debian's security updates in a lock.
pub const DEBIAN_SECURITY: &str = "debian-security";
/// Name in a lock for packages that lie beside the recipe.
pub const LOCAL: &str = "local";

/// Base URL of every repository, by the name that locks use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirrors {
    bases: BTreeMap<String, String>,
}

impl Mirrors {
    /// Finds the mirrors of Debian: `mirror` where it is given, else `SLIPWAY_MIRROR`, else this machine's apt sources.
    /// Security updates: `SLIPWAY_SECURITY_MIRROR`, else the sibling of a mirror that was given (`…/debian-security`
    /// beside `…/debian`), else the apt sources. That none is found shows when one is asked for.
    pub fn discover(mirror: Option<&str>) -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let given = mirror.map(str::to_owned).or_else(|| set("SLIPWAY_MIRROR"));
        Self::choose(given.as_deref(), set("SLIPWAY_SECURITY_MIRROR").as_deref(), Path::new("/etc/apt"))
    }

    /// As [`Mirrors::discover`], with the variables' values and the folder of apt's configuration as parameters.
    pub fn choose(mirror: Option<&str>, security: Option<&str>, apt: &Path) -> Self {
        let (mut debian, mut other) = (mirror.map(str::to_owned), security.map(str::to_owned));
        if let Some(debian) = &debian {
            other = other.or_else(|| Some(security_sibling(debian)));
        } else {
            let found = sources::archives(apt);
            debian = found.debian;
            other = other.or(found.security).or_else(|| debian.as_deref().map(security_sibling));
        }
        let mut bases = BTreeMap::new();
        bases.extend(debian.map(|base| (DEBIAN.to_owned(), without_slash(&base))));
        bases.extend(other.map(|base| (DEBIAN_SECURITY.to_owned(), without_slash(&base))));
        Self { bases }
    }

    /// These, and the repositories of a recipe.
    #[must_use]
    pub fn with_repositories(mut self, repositories: &[Repository]) -> Self {
        let named = repositories.iter().map(|repository| (repository.name.clone(), without_slash(&repository.url)));
        self.bases.extend(named);
        self
    }

    /// URL of the file at `path` below the base of a repository.
    pub fn url(&self, repository: &str, path: &str) -> Result<String, RepositoryError> {
        match self.bases.get(repository) {
            Some(base) => Ok(format!("{base}/{}", escaped(path))),
            None if repository == DEBIAN || repository == DEBIAN_SECURITY => {
                Err(RepositoryError::NoMirror(repository.to_owned()))
            }
            None => Err(RepositoryError::UnknownRepository(repository.to_owned())),
        }
    }
}

/// The repository that has a suite of Debian.
pub(crate) fn repository_of(suite: &str) -> &'static str {
    let security = suite.ends_with("-security") || suite.ends_with("-security/updates");
    if security { DEBIAN_SECURITY } else { DEBIAN }
}

fn without_slash(base: &str) -> String {
    base.trim_end_matches('/').to_owned()
}

/// `http://x/debian` → `http://x/debian-security`; also in the middle, where a snapshot's time follows.
fn security_sibling(base: &str) -> String {
    let base = without_slash(base);
    match base.rfind("/debian/") {
        Some(at) => format!("{}/debian-security/{}", &base[..at], &base[at + "/debian/".len()..]),
        None => format!("{base}-security"),
    }
}

/// Versions in file names may have characters that URLs don't (`+` is fine in a path, `%` and `#` are not).
fn escaped(path: &str) -> String {
    let mut url = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~+:/@=,".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&["%", &hex::encode_upper([byte])].concat());
        }
    }
    url
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_given_comes_before_what_is_found() {
        let apt = tempfile::tempdir().unwrap();
        std::fs::write(
            apt.path().join("sources.list"),
            "deb http://a/debian stable main\ndeb http://b/debian-security x main\n",
        )
        .unwrap();
        let url = |mirrors: &Mirrors, repository| mirrors.url(repository, "pool/a_1.deb").unwrap();
        let found = Mirrors::choose(None, None, apt.path());
        assert_eq!(url(&found, DEBIAN), "http://a/debian/pool/a_1.deb");
        assert_eq!(url(&found, DEBIAN_SECURITY), "http://b/debian-security/pool/a_1.deb");
        let given = Mirrors::choose(Some("https://c/debian/"), None, apt.path());
        assert_eq!(url(&given, DEBIAN), "https://c/debian/pool/a_1.deb");
        assert_eq!(url(&given, DEBIAN_SECURITY), "https://c/debian-security/pool/a_1.deb");
        let both = Mirrors::choose(Some("https://c/debian"), Some("file:/d"), apt.path());
        assert_eq!(url(&both, DEBIAN_SECURITY), "file:/d/pool/a_1.deb");
        let snapshot = Mirrors::choose(Some("http://s/archive/debian/20260101T000000Z/"), None, apt.path());
        assert_eq!(url(&snapshot, DEBIAN_SECURITY), "http://s/archive/debian-security/20260101T000000Z/pool/a_1.deb");
    }

    #[test]
    fn a_missing_mirror_is_an_error_when_it_is_needed() {
        let apt = tempfile::tempdir().unwrap();
        let none = Mirrors::choose(None, None, apt.path());
        assert!(none.url(DEBIAN, "x").unwrap_err().to_string().contains("--mirror"));
        assert!(matches!(none.url("k8s", "x"), Err(RepositoryError::UnknownRepository(_))));
    }
}
