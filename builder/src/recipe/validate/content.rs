//! The sections that add to what packages bring.

use std::ops::Range;

use slipway_images::digest::Digest;
use slipway_images::tree::TreePath;

use super::Checker;
use crate::recipe::merge::DROP_IN_NAME;
use crate::recipe::model::{
    AcceptedScript, Container, ContainerImage, DirectoryEntry, Download, DownloadTarget, DropIn, FileEntry, FileSource,
    Group, LinkEntry, Ownership, User,
};
use crate::recipe::shape::{
    AcceptScriptShape, ContainerShape, DirectoryShape, DownloadShape, DropInShape, FileShape, GroupShape, LinkShape,
    Text, UserShape,
};
use crate::recipe::values::{self, Wrong};

pub(super) fn file(checker: &mut Checker<'_>, shape: &FileShape, entry: Range<usize>) -> Option<FileEntry> {
    let path = checker.required("file.path", &shape.path, &entry, "\"/etc/motd\"", values::tree_path);
    let ownership = ownership(checker, "file", [&shape.owner, &shape.group, &shape.mode], "0644");
    let both = [("content", shape.content.is_some()), ("source", shape.source.is_some())];
    let source = match (checker.one_of("file", &entry, both[0], both[1]), &shape.content, &shape.source) {
        (true, Some(text), _) => Some(FileSource::Inline(text.get().clone())),
        (true, _, Some(at)) => checker.local("file.source", at, false).map(FileSource::Local),
        _ => None,
    };
    Some(FileEntry { path: path?, source: source?, ownership })
}

pub(super) fn download(checker: &mut Checker<'_>, shape: &DownloadShape, entry: Range<usize>) -> Option<Download> {
    let fetched = |text: &str| values::url(text, &["https", "http", "file"]);
    let url = checker.required("download.url", &shape.url, &entry, "\"https://…\"", fetched);
    let sha256 = checker.required("download.sha256", &shape.sha256, &entry, "\"64 hexadecimal digits\"", sha256);
    let ownership = ownership(checker, "download", [&shape.owner, &shape.group, &shape.mode], "0644");
    let both = [("path", shape.path.is_some()), ("extract", shape.extract.is_some())];
    let path = checker.optional("download.path", &shape.path, values::tree_path);
    let folder = checker.optional("download.extract", &shape.extract, folder);
    if let (Some(strip), true) = (&shape.strip, shape.path.is_some()) {
        checker.problem(
            &strip.span(),
            "`download.strip` needs `extract`",
            "",
            "a single file has no leading parts: leave `strip` out",
        );
    }
    let target = match (checker.one_of("download", &entry, both[0], both[1]), path, folder) {
        (true, Some(path), _) => Some(DownloadTarget::File(path)),
        (true, _, Some(folder)) => {
            let strip = shape.strip.as_ref().map_or(0, |at| *at.get());
            Some(DownloadTarget::Extract { folder, strip: usize::try_from(strip).unwrap_or(usize::MAX) })
        }
        _ => None,
    };
    Some(Download { url: url?, sha256: sha256?, target: target?, ownership })
}

pub(super) fn directory(
    checker: &mut Checker<'_>,
    shape: &DirectoryShape,
    entry: Range<usize>,
) -> Option<DirectoryEntry> {
    let path = checker.required("directory.path", &shape.path, &entry, "\"/opt/app\"", values::tree_path);
    let ownership = ownership(checker, "directory", [&shape.owner, &shape.group, &shape.mode], "0755");
    Some(DirectoryEntry { path: path?, ownership })
}

pub(super) fn link(checker: &mut Checker<'_>, shape: &LinkShape, entry: Range<usize>) -> Option<LinkEntry> {
    let path = checker.required("link.path", &shape.path, &entry, "\"/usr/bin/kubectl\"", values::tree_path);
    let target = checker.required("link.target", &shape.target, &entry, "\"k3s\"", |text| {
        if text.is_empty() || text.len() > 4095 || text.contains(['\0', '\n']) {
            return Err(Wrong { why: "is no path".into(), help: "write what the link points to: `k3s`, say".into() });
        }
        Ok(text.to_owned())
    });
    Some(LinkEntry { path: path?, target: target? })
}

pub(super) fn user(checker: &mut Checker<'_>, shape: &UserShape, entry: Range<usize>) -> Option<User> {
    let name = checker.required("user.name", &shape.name, &entry, "\"core\"", values::account);
    let home = checker.optional("user.home", &shape.home, folder);
    let shell = checker.optional("user.shell", &shape.shell, values::tree_path);
    let default_home = match name.as_deref() {
        Some("root") => "/root".to_owned(),
        name => format!("/var/home/{}", name.unwrap_or("nobody")),
    };
    let group = checker.optional("user.group", &shape.group, values::account);
    let groups = checker.list("user.groups", &shape.groups, values::account);
    let password_hash =
        shape.password_hash.as_ref().and_then(|at| checker.secret("user.password-hash", at, values::password_hash));
    let keys = shape.authorized_keys.iter();
    let authorized_keys =
        keys.filter_map(|at| checker.secret("user.authorized-keys", at, values::authorized_key)).collect();
    let user = User {
        name: name?,
        uid: shape.uid.as_ref().map(|at| *at.get()),
        group,
        groups,
        home: home.or_else(|| TreePath::new(&default_home).ok())?,
        shell: shell.or_else(|| TreePath::new("/bin/bash").ok())?,
        password_hash,
        authorized_keys,
    };
    if let (Some(at), true) = (&shape.uid, (user.uid == Some(0)) != (user.name == "root") || user.uid == Some(65534)) {
        let message = format!("`user.uid` cannot be {} for `{}`", at.get(), user.name);
        checker.problem(
            &at.span(),
            message,
            "",
            "0 is root's alone and 65534 nobody's; leave `uid` out to have one chosen",
        );
    }
    Some(user)
}

pub(super) fn group(checker: &mut Checker<'_>, shape: &GroupShape, entry: Range<usize>) -> Option<Group> {
    let name = checker.required("group.name", &shape.name, &entry, "\"web\"", values::account)?;
    Some(Group { name, gid: shape.gid.as_ref().map(|at| *at.get()) })
}

pub(super) fn drop_in(checker: &mut Checker<'_>, shape: &DropInShape, entry: Range<usize>) -> Option<DropIn> {
    let unit = checker.required("drop-in.unit", &shape.unit, &entry, "\"docker.service\"", values::unit);
    let name = checker.or_default("drop-in.name", &shape.name, DROP_IN_NAME, |text| match values::word(text) {
        Ok(name) if name.strip_suffix(".conf").is_some_and(|stem| !stem.is_empty()) => Ok(name),
        _ => Err(Wrong {
            why: format!("cannot be `{text}`"),
            help: format!("it must end in `.conf`: `{DROP_IN_NAME}`, say"),
        }),
    });
    let content =
        checker.required("drop-in.content", &shape.content, &entry, "\"[Service]\\n…\"", |text| Ok(text.to_owned()));
    Some(DropIn { unit: unit?, name, content: content? })
}

pub(super) fn container(checker: &mut Checker<'_>, shape: &ContainerShape, entry: Range<usize>) -> Option<Container> {
    let name = checker.required("container.name", &shape.name, &entry, "\"web\"", values::container);
    let both = [("image", shape.image.is_some()), ("package", shape.package.is_some())];
    let image = match (checker.one_of("container", &entry, both[0], both[1]), &shape.image) {
        (true, Some(at)) => checker.local("container.image", at, true).map(ContainerImage::Local),
        (true, None) => {
            checker.optional("container.package", &shape.package, values::package_request).map(ContainerImage::Package)
        }
        _ => None,
    };
    let environment = shape.environment.iter().filter_map(|(key, value)| {
        let first = key.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        if !first || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            let message = format!("`container.environment` has `{key}`, which is no variable");
            checker.problem(
                &value.span(),
                message,
                "the value of that key",
                "a variable's name has letters, digits and `_`",
            );
            return None;
        }
        checker.value("container.environment", value, values::line).map(|value| (key.clone(), value))
    });
    let environment = environment.collect();
    let network = checker.or_default("container.network", &shape.network, "bridge", values::word);
    if let (Some(at), false) = (shape.ports.first(), network == "bridge") {
        let message = format!("`container.ports` has no effect with `network = \"{network}\"`");
        checker.problem(&at.span(), message, "", "leave `ports` out, or use `network = \"bridge\"`");
    }
    Some(Container {
        run: shape.run.unwrap_or(true),
        command: shape.command.iter().map(|at| at.get().clone()).collect(),
        ports: checker.list("container.ports", &shape.ports, values::published_port),
        volumes: checker.list("container.volumes", &shape.volumes, values::volume),
        environment,
        network,
        name: name?,
        image: image?,
    })
}

pub(super) fn accepted_script(
    checker: &mut Checker<'_>,
    shape: &AcceptScriptShape,
    entry: Range<usize>,
) -> Option<AcceptedScript> {
    let package =
        checker.required("accept-script.package", &shape.package, &entry, "\"nginx-common\"", values::package);
    let script = checker.required("accept-script.script", &shape.script, &entry, "\"postinst\"", values::word);
    let digest = checker.required("accept-script.sha256", &shape.sha256, &entry, "\"64 hexadecimal digits\"", sha256);
    let reason = checker.required("accept-script.reason", &shape.reason, &entry, "\"only reloads a server\"", |text| {
        if text.trim().is_empty() {
            return Err(Wrong { why: "is empty".into(), help: "say why the script need not run".into() });
        }
        values::line(text)
    });
    Some(AcceptedScript { package: package?, script: script?, sha256: digest?, reason: reason? })
}

fn ownership(
    checker: &mut Checker<'_>,
    section: &str,
    [owner, group, mode]: [&Text; 3],
    default_mode: &str,
) -> Ownership {
    Ownership {
        owner: checker.or_default(&format!("{section}.owner"), owner, "root", values::owner),
        group: checker.or_default(&format!("{section}.group"), group, "root", values::owner),
        mode: checker.or_default(&format!("{section}.mode"), mode, default_mode, values::mode),
    }
}

fn sha256(text: &str) -> Result<Digest, Wrong> {
    text.to_lowercase().parse().map_err(|_| Wrong {
        why: "is no SHA-256".into(),
        help: format!(
            "write the 64 hexadecimal digits that `sha256sum` prints; this has {} characters",
            text.chars().count()
        ),
    })
}

/// A folder in the image; the root is one too.
fn folder(text: &str) -> Result<TreePath, Wrong> {
    if text == "/" { Ok(TreePath::root()) } else { values::tree_path(text) }
}
