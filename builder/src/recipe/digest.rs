//! What a recipe means, as one number.

use std::path::{Component, Path, PathBuf};

use slipway_images::digest::Digest;

use super::model::{ContainerImage, FileSource, Recipe};

/// SHA-256 over the recipe's values in a fixed order. Comments, layout and the split into files that extend one another
/// don't count, nor does the folder that all of it lies in: local files count by their path from the recipe.
pub fn digest(recipe: &Recipe) -> Result<Digest, serde_json::Error> {
    let mut recipe = recipe.clone();
    let folder =
        recipe.path.parent().map(|folder| folder.canonicalize().unwrap_or(folder.to_owned())).unwrap_or_default();
    let local = |path: &mut PathBuf| *path = relative(&folder, path);
    recipe.repositories.iter_mut().for_each(|repository| local(&mut repository.key));
    recipe.packages.debs.iter_mut().for_each(local);
    recipe.update.iter_mut().for_each(|update| local(&mut update.root));
    for file in &mut recipe.files {
        if let FileSource::Local(path) = &mut file.source {
            local(path);
        }
    }
    for container in &mut recipe.containers {
        if let ContainerImage::Local(path) = &mut container.image {
            local(path);
        }
    }
    // The fields come in the order of their declaration, the maps sorted: equal values are equal bytes.
    serde_json::to_vec(&recipe).map(|bytes| Digest::of(&bytes))
}

/// `path` as seen from `folder`; both absolute. `..` in `path` is folded as text.
fn relative(folder: &Path, path: &Path) -> PathBuf {
    let mut parts: Vec<Component<'_>> = Vec::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let folder: Vec<Component<'_>> = folder.components().collect();
    let shared = folder.iter().zip(&parts).take_while(|(a, b)| a == b).count();
    let up = folder[shared..].iter().map(|_| Component::ParentDir);
    up.chain(parts[shared..].iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_seen_from_the_recipe() {
        let seen = |path: &str| relative(Path::new("/a/b"), Path::new(path));
        assert_eq!(seen("/a/b/c/d"), Path::new("c/d"));
        assert_eq!(seen("/a/b/../x/./y"), Path::new("../x/y"));
        assert_eq!(seen("/z"), Path::new("../../z"));
    }
}
