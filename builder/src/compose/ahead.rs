//! The list of what is done while the init starts, by a process that the initrd leaves behind.

use slipway_images::boot::{AHEAD_LIST, Ahead};
use slipway_images::tree::{Kind, Origin, RootTree, TreeError, TreePath};

use super::kernel::Kernel;

/// Writes it into a tree that is otherwise finished, and returns what a person should know of it. Modules come first, since
/// each makes whoever needs it wait. A file that isn't there is no error: a recipe can take away what the one that it extends reads.
pub(super) fn install(tree: &mut RootTree, kernel: &Kernel, read: &[TreePath]) -> Result<Vec<String>, TreeError> {
    let is_file = |path: &&TreePath| tree.get(path).is_some_and(|node| matches!(node.kind, Kind::File(_)));
    let (files, absent): (Vec<&TreePath>, Vec<_>) = read.iter().partition(is_file);
    let loads = kernel.load_ahead.iter().map(|path| Ahead::Load(path.as_str()));
    let reads = files.into_iter().map(|path| Ahead::Read(path.as_str()));
    let list: String = loads.chain(reads).flat_map(|item| [item.to_string(), "\n".to_owned()]).collect();
    let notes = absent.iter().map(|path| format!("`boot.read-ahead` names `{path}`, which is no file of the root"));
    let notes = notes.collect();
    if !list.is_empty() {
        tree.insert_file(TreePath::new(AHEAD_LIST)?, 0o644, list.into_bytes(), Origin::Effect("ahead".into()))?;
    }
    Ok(notes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use slipway_images::content::Content;

    use super::*;

    /// The list, and the notes.
    fn composed(read: &str) -> (String, Vec<String>) {
        let mut tree = RootTree::new();
        let path = |text| TreePath::new(text).unwrap();
        tree.insert_file(path("/usr/sbin/dockerd"), 0o755, "elf", Origin::Recipe).unwrap();
        let load_ahead = vec![path("/usr/lib/modules/6/kernel/net/bridge/bridge.ko")];
        let vmlinuz = Content::from_bytes("kernel");
        let kernel = Kernel { release: "6".into(), vmlinuz, initrd_modules: Vec::new(), load_ahead };
        let notes = install(&mut tree, &kernel, &[path(read)]).unwrap();
        (tree.file(&path(AHEAD_LIST)).unwrap().to_text().unwrap(), notes)
    }

    #[test]
    fn the_list_is_what_the_initrd_reads() {
        let (list, notes) = composed("/usr/sbin/dockerd");
        let items: Vec<Option<Ahead<'_>>> = list.lines().map(Ahead::parse).collect();
        let module = Ahead::Load("/usr/lib/modules/6/kernel/net/bridge/bridge.ko");
        assert_eq!(items, [Some(module), Some(Ahead::Read("/usr/sbin/dockerd"))]);
        assert_eq!(notes, [""; 0]);
    }

    #[test]
    fn a_file_that_is_not_there_is_told() {
        let (list, notes) = composed("/usr/sbin");
        assert_eq!(list.lines().count(), 1, "{list}");
        assert_eq!(notes, ["`boot.read-ahead` names `/usr/sbin`, which is no file of the root"]);
    }
}
