//! Places to work in, copies of the recipes, and caches of one's own.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use slipway_builder::fetch::Cache;
use slipway_builder::lock::Lock;
use slipway_builder::recipe::Recipe;

use crate::image::minimal;
use crate::program::workspace;

/// The folder of the scenario `name`, below `out/e2e`, empty.
pub fn scratch(name: &str) -> PathBuf {
    let folder = workspace().join("out/e2e").join(name);
    if let Err(error) = fs::remove_dir_all(&folder) {
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{}: {error}", folder.display());
    }
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A copy of the shared image's recipe with its lock, in `folder`, with `more` at its end. Returns its path.
pub fn recipe_with(folder: &Path, more: &str) -> PathBuf {
    recipe_changed(folder, |text| text + more)
}

/// A copy of the shared image's recipe with its lock, in `folder`, with `old`, which it must have, changed to `new`.
pub fn recipe_replacing(folder: &Path, old: &str, new: &str) -> PathBuf {
    recipe_changed(folder, |text| {
        assert!(text.contains(old), "the recipe has no `{old}`");
        text.replace(old, new)
    })
}

fn recipe_changed(folder: &Path, change: impl FnOnce(String) -> String) -> PathBuf {
    let from = minimal().recipe.parent().expect("a recipe lies in a folder");
    copy_folder(from, folder);
    let path = folder.join("minimal.toml");
    fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
    path
}

/// Turns one bit in the middle of the file. It is a new file: whoever shares the old one by a link has it as it was.
pub fn flip_bit(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    replace(path, &bytes);
}

/// Takes away the second half of the file, in the way of [`flip_bit`].
pub fn cut_in_half(path: &Path) {
    let bytes = fs::read(path).unwrap();
    replace(path, &bytes[..bytes.len() / 2]);
}

fn replace(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

/// The names of all in a folder, sorted; of one that isn't there, none.
pub fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Copies files and folders as they are, without owners.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// What the recipe at `path` and its lock say.
pub fn recipe_and_lock(path: &Path) -> (Recipe, Lock) {
    let recipe = Recipe::load(path).unwrap();
    let lock = Lock::load(&recipe).unwrap();
    (recipe, lock)
}

/// A cache in `folder` that has the downloads of the shared image, and nothing that was made of them.
pub fn cache_of_downloads(folder: &Path) -> Cache {
    let (_, lock) = recipe_and_lock(&minimal().recipe);
    let (from, to) = (Cache::of_user().unwrap(), Cache::open(folder).unwrap());
    for package in &lock.packages {
        let source = from.get(&package.sha256).expect("the shared build fetched all packages");
        let target = to.path_of(&package.sha256);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&source, &target).unwrap();
    }
    to
}

/// Lets everyone read, and enter, all below `folder`.
pub fn open_to_all(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            open_to_all(&entry.path());
        } else if entry.file_type().unwrap().is_file() {
            let mode = entry.metadata().unwrap().permissions().mode();
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode | 0o444)).unwrap();
        }
    }
}
