//! An image made of one package: its files are the only layer.

use std::io;

use serde_json::json;
use slipway_images::tree::{Kind, Meta, Node, Origin, RootTree, TreePath};
use tar::{Builder, EntryType};

use super::write::header;
use super::{ContainerError, Image, Layer, oci_digest};
use crate::archive::spool::Spool;
use crate::deb::Package;
use crate::recipe::Container;
use slipway_images::calendar::Moment;
use slipway_images::content::Content;

/// What nobody reads in a container.
const LEFT_OUT: [&str; 6] = [
    "/usr/share/bug",
    "/usr/share/doc",
    "/usr/share/info",
    "/usr/share/lintian",
    "/usr/share/locale",
    "/usr/share/man",
];
/// Names that lead into `/usr` on Debian; made where the package has something there.
const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The image of `package`, which runs the command of `container`.
pub fn image_of(
    container: &Container,
    package: &Package,
    epoch: u64,
    spool: &mut Spool,
) -> Result<Image, ContainerError> {
    let name = || container.name.clone();
    let tree = tree(package).map_err(|source| ContainerError::Tree { name: name(), source })?;
    let layer = spool
        .write(|sink| write_layer(&mut Builder::new(sink), &tree, epoch))
        .map_err(|source| ContainerError::Write { name: name(), source })?;
    let created = Moment::from_seconds(epoch).rfc3339();
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "created": created,
        "config": { "Cmd": container.command, "Env": [PATH] },
        "rootfs": { "type": "layers", "diff_ids": [oci_digest(layer.digest())] },
        "history": [{ "created": created, "created_by": format!("slipway: {} {}", package.name, package.version) }],
    });
    Ok(Image {
        config: Content::from_bytes(config.to_string()),
        layers: vec![Layer { blob: layer, media_type: "application/vnd.oci.image.layer.v1.tar" }],
    })
}

fn tree(package: &Package) -> Result<RootTree, slipway_images::tree::TreeError> {
    let left_out = LEFT_OUT.iter().map(|text| TreePath::new(text)).collect::<Result<Vec<_>, _>>()?;
    let mut tree = RootTree::new();
    for (path, node) in &package.entries {
        if !left_out.iter().any(|folder| path.is_within(folder)) {
            tree.insert(path.clone(), node.clone())?;
        }
    }
    for name in MERGED {
        let (link, target) = (TreePath::new(&format!("/{name}"))?, format!("usr/{name}"));
        if !tree.contains(&link) && tree.contains(&TreePath::new(&format!("/{target}"))?) {
            tree.insert_symlink(link, &target, Origin::Package(package.name.clone()))?;
        }
    }
    Ok(tree)
}

fn write_layer(tar: &mut Builder<impl io::Write>, tree: &RootTree, epoch: u64) -> io::Result<()> {
    for (path, node) in tree.iter().filter(|(path, _)| path.parent().is_some()) {
        write_node(tar, path.as_str().trim_start_matches('/'), node, epoch)?;
    }
    tar.finish()
}

fn write_node(tar: &mut Builder<impl io::Write>, path: &str, node: &Node, epoch: u64) -> io::Result<()> {
    let Meta { mode, uid, gid, xattrs } = &node.meta;
    if !xattrs.is_empty() {
        let records: Vec<(String, &[u8])> =
            xattrs.iter().map(|(name, value)| (format!("SCHILY.xattr.{name}"), value.as_slice())).collect();
        tar.append_pax_extensions(records.iter().map(|(name, value)| (name.as_str(), *value)))?;
    }
    let with_owner = |kind, size| {
        let mut header = header(kind, u32::from(*mode), size, epoch);
        header.set_uid((*uid).into());
        header.set_gid((*gid).into());
        header
    };
    let mut device = |kind, major, minor| {
        let mut header = with_owner(kind, 0);
        header.set_device_major(major)?;
        header.set_device_minor(minor)?;
        tar.append_data(&mut header, path, io::empty())
    };
    match &node.kind {
        Kind::CharDevice { major, minor } => device(EntryType::Char, *major, *minor),
        Kind::BlockDevice { major, minor } => device(EntryType::Block, *major, *minor),
        Kind::Folder => tar.append_data(&mut with_owner(EntryType::Directory, 0), format!("{path}/"), io::empty()),
        Kind::File(content) => {
            tar.append_data(&mut with_owner(EntryType::Regular, content.len()), path, content.reader())
        }
        Kind::Symlink(target) => tar.append_link(&mut with_owner(EntryType::Symlink, 0), path, target),
        Kind::HardLink(target) => {
            tar.append_link(&mut with_owner(EntryType::Link, 0), path, target.as_str().trim_start_matches('/'))
        }
        Kind::Fifo => tar.append_data(&mut with_owner(EntryType::Fifo, 0), path, io::empty()),
    }
}
