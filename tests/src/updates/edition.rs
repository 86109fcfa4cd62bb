//! Versions of an image, each with something of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::image::{folder_of, minimal};
use crate::program::{Outcome, build, slipway, workspace};
use crate::workplace::copy_folder;

/// A version of the image of `recipes/minimal.toml`, or of another recipe, that asks a repository for newer ones. Versions are told
/// apart by their name alone: the same name is the same content in all scenarios, `2.panics` say, so that it is built once.
#[derive(Clone, Debug)]
pub struct Edition {
    base: String,
    version: String,
    units: Vec<String>,
    more: String,
    locked_anew: bool,
}

/// A built version.
#[derive(Clone, Debug)]
pub struct Build {
    /// The version.
    pub version: String,
    /// Image and version: `minimal_2`.
    pub label: String,
    /// The folder with the six outputs.
    pub folder: PathBuf,
}

impl Build {
    /// The output `name`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Edition {
    /// A version in which nothing else is different.
    pub fn new(version: &str) -> Self {
        let base = "minimal".to_owned();
        Self { base, version: version.to_owned(), units: Vec::new(), more: String::new(), locked_anew: false }
    }

    /// The same of another recipe in `recipes/`.
    #[must_use]
    pub fn of(self, recipe: &str) -> Self {
        Self { base: recipe.to_owned(), ..self }
    }

    /// With more in its recipe.
    #[must_use]
    pub fn with(mut self, more: &str) -> Self {
        self.more.push_str(more);
        self.more.push('\n');
        self
    }

    /// With the packages that are the newest of its suites now, not those of the recipe's lock.
    #[must_use]
    pub fn locked_anew(self) -> Self {
        Self { locked_anew: true, ..self }
    }

    /// With a text file.
    #[must_use]
    pub fn with_file(self, path: &str, content: &str) -> Self {
        self.with(&format!("[[file]]\npath = {path:?}\nmode = \"0755\"\ncontent = '''\n{content}'''\n"))
    }

    /// With a service that runs this line of `bash` once at boot, wanted by that target. `order` is the rest of its `[Unit]`.
    #[must_use]
    pub fn with_service(mut self, name: &str, line: &str, target: &str, order: &str) -> Self {
        self.units.push(format!("{name}.service"));
        let unit = format!(
            "[Unit]\n{order}\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/lib/{name}\n\
             [Install]\nWantedBy={target}\n"
        );
        self.with_file(&format!("/usr/lib/{name}"), &format!("#!/bin/bash\n{line}\n"))
            .with_file(&format!("/usr/lib/systemd/system/{name}.service"), &unit)
    }

    /// Builds it, unless that is done already.
    pub fn build(&self) -> Build {
        let place = place();
        let recipes = place.join("recipes");
        let (recipe, lock) = (recipes.join(format!("{}-{}.toml", self.base, self.version)), locked(&self.base));
        fs::create_dir_all(&recipes).unwrap();
        let from = lock.parent().expect("a lock lies in a folder");
        copy_folder(from, &recipes);
        let text = format!(
            "extends = \"{}.toml\"\n\n[image]\nversion = \"{}\"\n\n\
             [update]\nurls = [\"http://updates.invalid/\"]\nroot = \"../keys/1.root.json\"\n\n\
             [units]\nenable = {:?}\n\n{}",
            self.base, self.version, self.units, self.more
        );
        keys();
        fs::write(&recipe, text).unwrap();
        if self.locked_anew {
            let _ = Outcome::of(slipway().args(["--json", "lock"]).arg(&recipe)).succeeded();
        } else {
            fs::copy(&lock, recipe.with_extension("lock")).unwrap();
        }
        let built = Outcome::of(&mut build(&place.join("builds"), &recipe)).succeeded();
        let label = format!("{}_{}", self.base, self.version);
        Build { version: self.version.clone(), label, folder: folder_of(&built) }
    }
}

/// The lock of a recipe, whose folder has the recipe and all that it extends.
fn locked(base: &str) -> PathBuf {
    // Where a package is gone from the mirror, the shared images' recipes were locked anew.
    let recipe = if base == "minimal" { minimal().recipe.clone() } else { workspace().join("recipes").join(base) };
    recipe.with_extension("lock")
}

/// The keys that sign all releases. An image carries their root.
pub(super) fn keys() -> &'static Path {
    static KEYS: OnceLock<PathBuf> = OnceLock::new();
    KEYS.get_or_init(|| {
        let folder = place().join("keys");
        if !folder.join("1.root.json").is_file() {
            let mut command = slipway();
            command.args(["keys", "init", "--development", "--expires-in", "3650"]).arg(&folder);
            let _ = Outcome::of(&mut command).succeeded();
        }
        folder
    })
}

/// Where editions and keys are kept from one run to the next.
pub(super) fn place() -> PathBuf {
    workspace().join("out/e2e/updates")
}
