//! The file: read whole or not at all, written whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::broken::Mistake;
use super::{Lock, LockError, LockedPackage, Role, make};
use crate::apt::LOCAL;
use crate::deb::relation::is_package_name;
use crate::deb::version::DebVersion;
use crate::recipe::{ContainerImage, Recipe};
use crate::solve::Wish;

const HEAD: &str =
    "# Written by `slipway lock`; not meant to be edited. Belongs into version control, beside the recipe.\n\n";

/// The lock of a recipe: `docker-host.toml` → `docker-host.lock`.
pub fn path_of(recipe: &Path) -> PathBuf {
    recipe.with_extension("lock")
}

impl Lock {
    /// The lock of a recipe, if it is there and matches.
    pub fn load(recipe: &Recipe) -> Result<Self, LockError> {
        let path = path_of(&recipe.path);
        let Some(lock) = Self::read(&path)? else {
            return Err(LockError::Missing { path, recipe: recipe.path.clone() });
        };
        if lock.request != make::request_digest(recipe) {
            let what = difference(&lock, recipe);
            return Err(LockError::Mismatch { path, what, recipe: recipe.path.clone() });
        }
        Ok(lock)
    }

    /// Reads a lock file, `None` when there is none.
    pub fn read(path: &Path) -> Result<Option<Self>, LockError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LockError::File { path: path.to_owned(), what: "read", source }),
        };
        Self::parse(&text).map(Some).map_err(|mistake| mistake.in_file(path, &text))
    }

    fn parse(text: &str) -> Result<Self, Mistake> {
        let lock: Self = toml::from_str(text).map_err(|error| Mistake::of_toml(&error))?;
        if lock.lock_version != Self::VERSION {
            let message = format!("this slipway reads locks of version {}, not {}", Self::VERSION, lock.lock_version);
            return Err(Mistake::of_key(text, "lock-version", message));
        }
        for (index, package) in lock.packages.iter().enumerate() {
            check(package).map_err(|(key, message)| Mistake::of_package(text, index, key, message))?;
        }
        let key = |package: &LockedPackage| (package.name.clone(), package.role);
        if let Some(index) = lock.packages.windows(2).position(|pair| key(&pair[0]) >= key(&pair[1])) {
            let same = key(&lock.packages[index]) == key(&lock.packages[index + 1]);
            let how = if same { "is there twice" } else { "is not in its place: packages are sorted by name" };
            let message = format!("`{}` {how}", lock.packages[index + 1].name);
            return Err(Mistake::of_package(text, index + 1, "name", message));
        }
        Ok(lock)
    }

    /// The text of the file. Equal locks have equal texts.
    pub fn to_text(&self) -> Result<String, LockError> {
        Ok(HEAD.to_owned() + &toml::to_string(self).map_err(LockError::Text)?)
    }

    /// Writes the file: whoever reads `path` at any time finds the old lock or the new one.
    pub fn write(&self, path: &Path) -> Result<(), LockError> {
        let text = self.to_text()?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let new = path.with_file_name(name);
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, path)
        })();
        written.map_err(|source| {
            let _ = fs::remove_file(&new);
            LockError::File { path: path.to_owned(), what: "written", source }
        })
    }
}

/// What is wrong with a package, and the key whose value it is.
fn check(package: &LockedPackage) -> Result<(), (&'static str, String)> {
    if !is_package_name(&package.name) {
        return Err(("name", format!("`{}` is no package name", package.name)));
    }
    package.version.parse::<DebVersion>().map_err(|error| ("version", error.to_string()))?;
    let inside = |part: &str| !part.is_empty() && part != "." && part != "..";
    if package.repository != LOCAL && !package.path.split('/').all(inside) {
        return Err(("path", format!("`{}` is no path within an archive", package.path)));
    }
    Ok(())
}

/// What the recipe asks for that the lock hasn't, or no longer asks for, as far as the lock tells.
fn difference(lock: &Lock, recipe: &Recipe) -> String {
    let has = |name: &str, role| lock.packages.iter().any(|package| package.name == name && package.role == role);
    let mut lacks: Vec<String> = Vec::new();
    for text in recipe.packages.add.iter().chain([&recipe.kernel.package]) {
        let Ok(wish) = text.parse::<Wish>() else { continue };
        let version = wish.version.as_ref();
        let fits = |package: &&LockedPackage| {
            package.name == wish.name && version.is_none_or(|v| v.as_str() == package.version)
        };
        if !lock.packages.iter().filter(|package| package.role == Role::Root).any(|package| fits(&package)) {
            lacks.push(format!("it lacks `{wish}`"));
        }
    }
    if !has(&recipe.boot.package, Role::Boot) {
        lacks.push(format!("it lacks `{}` for booting", recipe.boot.package));
    }
    for container in &recipe.containers {
        if let ContainerImage::Package(name) = &container.image
            && !has(name, Role::Container)
        {
            lacks.push(format!("it lacks `{name}` for the container {}", container.name));
        }
    }
    let dropped = recipe.packages.drop.iter().filter(|name| has(name, Role::Root));
    lacks.extend(dropped.map(|name| format!("it has `{name}`, which is dropped now")));
    if lacks.is_empty() {
        return "the recipe's packages, suites, components or repositories changed since".to_owned();
    }
    lacks.join(", ")
}
