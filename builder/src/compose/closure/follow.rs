//! Where a path leads in a tree, with an eye on what only exists on a running machine.

use slipway_images::tree::{Kind, RootTree, TreePath};

/// Folders whose content comes to be at run time.
const VOLATILE: [&str; 7] = ["/dev", "/mnt", "/proc", "/run", "/sys", "/tmp", "/var"];
/// As many as Linux follows (`path_resolution(7)`).
const MAX_LINKS: usize = 40;

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Follow {
    /// To this entry, which is no link.
    Found(TreePath),
    /// To something that may come to be at run time.
    Outside,
    /// This path on the way isn't there.
    Missing(TreePath),
    /// In a circle.
    Circle,
}

/// Follows `path` and every link on the way.
pub fn follow(tree: &RootTree, path: &TreePath) -> Follow {
    let mut pending = reversed(path);
    let mut at = TreePath::root();
    let mut links = 0;
    while let Some(part) = pending.pop() {
        let Ok(next) = at.join(&part) else { return Follow::Missing(at) };
        match tree.get(&next).map(|node| &node.kind) {
            Some(Kind::Symlink(target)) => {
                links += 1;
                if links > MAX_LINKS {
                    return Follow::Circle;
                }
                let pointed = next.resolve_link(target);
                at = TreePath::root();
                pending.extend(reversed(&pointed));
            }
            Some(_) => at = next,
            None if is_volatile(&next) => return Follow::Outside,
            None => return Follow::Missing(next),
        }
    }
    Follow::Found(at)
}

/// The parts of `path`, the last one first.
fn reversed(path: &TreePath) -> Vec<String> {
    let mut parts: Vec<String> = path.parts().map(str::to_owned).collect();
    parts.reverse();
    parts
}

/// Whether `path` is there, or may come to be.
pub fn is_there(tree: &RootTree, path: &TreePath) -> bool {
    matches!(follow(tree, path), Follow::Found(_) | Follow::Outside)
}

fn is_volatile(path: &TreePath) -> bool {
    let top = path.parts().next().unwrap_or_default();
    VOLATILE.iter().any(|folder| folder.trim_start_matches('/') == top)
}

/// Where a program without a path is looked for (systemd.exec(5), `Path=` of the manager).
const SEARCH: [&str; 4] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];

/// Whether the program `name`, a path or a bare name, is there.
pub fn program_is_there(tree: &RootTree, name: &str) -> bool {
    if name.starts_with('/') {
        return TreePath::new(name).is_ok_and(|path| is_there(tree, &path));
    }
    SEARCH.iter().any(|folder| TreePath::new(&format!("{folder}/{name}")).is_ok_and(|path| is_there(tree, &path)))
}
