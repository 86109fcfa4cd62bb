//! The sections that add to what packages bring.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{At, Text, Texts};

/// `[[file]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "File", extend("required" = ["path"]))]
pub struct FileShape {
    /// Where it stands in the image.
    #[schemars(extend("examples" = ["/etc/motd"]))]
    pub path: Text,
    /// Its text. Either this or `source`.
    #[schemars(extend("examples" = ["Welcome.\n"]))]
    pub content: Text,
    /// A local file with its bytes, relative to the recipe. Either this or `content`.
    #[schemars(extend("examples" = ["files/motd"]))]
    pub source: Text,
    /// User who owns it: a name or a number.
    #[schemars(extend("default" = "root", "examples" = ["core"]))]
    pub owner: Text,
    /// Group that owns it: a name or a number.
    #[schemars(extend("default" = "root", "examples" = ["docker"]))]
    pub group: Text,
    /// Its mode in octal digits.
    #[schemars(extend("default" = "0644", "examples" = ["0600"], "pattern" = "^[0-7]{3,4}$"))]
    pub mode: Text,
    /// Takes the inherited entry with the same `path` away.
    #[schemars(extend("default" = false))]
    pub remove: bool,
}

/// `[[download]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Download", extend("required" = ["url"]))]
pub struct DownloadShape {
    /// Where it is fetched from: `https://`, `http://` or `file://`.
    #[schemars(extend("examples" = ["https://example.com/k3s"]))]
    pub url: Text,
    /// Its SHA-256, 64 hexadecimal digits. Required.
    #[schemars(extend("examples" = ["ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"], "pattern" = "^[0-9A-Fa-f]{64}$"))]
    pub sha256: Text,
    /// The file it becomes in the image. Either this or `extract`.
    #[schemars(extend("examples" = ["/usr/bin/k3s"]))]
    pub path: Text,
    /// The folder into which it is unpacked: a tar archive, plain or compressed with gzip, xz or zstd. Either this or
    /// `path`.
    #[schemars(extend("examples" = ["/opt/cni/bin"]))]
    pub extract: Text,
    /// How many leading parts each path in the archive loses.
    #[schemars(extend("default" = 0, "examples" = [1], "maximum" = 32))]
    pub strip: Option<At<u32>>,
    /// User who owns what it becomes: a name or a number.
    #[schemars(extend("default" = "root", "examples" = ["core"]))]
    pub owner: Text,
    /// Group that owns what it becomes: a name or a number.
    #[schemars(extend("default" = "root", "examples" = ["docker"]))]
    pub group: Text,
    /// Mode of a single file in octal digits. Files of an archive keep theirs.
    #[schemars(extend("default" = "0644", "examples" = ["0755"], "pattern" = "^[0-7]{3,4}$"))]
    pub mode: Text,
    /// Takes the inherited entry with the same `url` away.
    #[schemars(extend("default" = false))]
    pub remove: bool,
}

/// `[[directory]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Directory", extend("required" = ["path"]))]
pub struct DirectoryShape {
    /// Where it stands in the image. What must be there in `/var` at run time belongs into a file in `/usr/lib/tmpfiles.d`.
    #[schemars(extend("examples" = ["/opt/app"]))]
    pub path: Text,
    /// User who owns it: a name or a number.
    #[schemars(extend("default" = "root", "examples" = ["core"]))]
    pub owner: Text,
    /// Group that owns it: a name or a number.
    #[schemars(extend("default" = "root", "examples" = ["docker"]))]
    pub group: Text,
    /// Its mode in octal digits.
    #[schemars(extend("default" = "0755", "examples" = ["0700"], "pattern" = "^[0-7]{3,4}$"))]
    pub mode: Text,
    /// Takes the inherited entry with the same `path` away.
    #[schemars(extend("default" = false))]
    pub remove: bool,
}

/// `[[link]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Link", extend("required" = ["path"]))]
pub struct LinkShape {
    /// Where it stands in the image.
    #[schemars(extend("examples" = ["/usr/bin/kubectl"]))]
    pub path: Text,
    /// What it points to. Required.
    #[schemars(extend("examples" = ["k3s"]))]
    pub target: Text,
    /// Takes the inherited entry with the same `path` away.
    #[schemars(extend("default" = false))]
    pub remove: bool,
}

/// `[[user]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "User", extend("required" = ["name"]))]
pub struct UserShape {
    /// Login name.
    #[schemars(extend("examples" = ["core"]))]
    pub name: Text,
    /// Its number. By default one is chosen, and pinned in the lock.
    #[schemars(extend("examples" = [1000], "maximum" = 4_294_967_293_u32))]
    pub uid: Option<At<u32>>,
    /// Primary group. By default one of the user's own name.
    #[schemars(extend("examples" = ["users"]))]
    pub group: Text,
    /// Further groups.
    #[schemars(extend("default" = [], "examples" = [["docker", "systemd-journal"]]))]
    pub groups: Texts,
    /// Home folder, made at boot. By default `/var/home/NAME`; the root is read-only, so it belongs below `/var`.
    #[schemars(extend("examples" = ["/var/home/core"]))]
    pub home: Text,
    /// Login shell.
    #[schemars(extend("default" = "/bin/bash", "examples" = ["/usr/sbin/nologin"]))]
    pub shell: Text,
    /// Password as crypt(5) text, from `openssl passwd -6`. By default no password lets the user in.
    #[schemars(extend("examples" = ["$6$salt$hash"]))]
    pub password_hash: Text,
    /// Lines of an `authorized_keys` file, public keys that may log in.
    #[schemars(extend("default" = [], "examples" = [["ssh-ed25519 AAAA… me@example.com"]]))]
    pub authorized_keys: Texts,
    /// Takes the inherited entry with the same `name` away.
    #[schemars(extend("default" = false))]
    pub remove: bool,
}

/// `[[group]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Group", extend("required" = ["name"]))]
pub struct GroupShape {
    /// Its name.
    #[schemars(extend("examples" = ["web"]))]
    pub name: Text,
    /// Its number. By default one is chosen, and pinned in the lock.
    #[schemars(extend("examples" = [1500], "maximum" = 4_294_967_293_u32))]
    pub gid: Option<At<u32>>,
    /// Takes the inherited entry with the same `name` away.
    #[schemars(extend("default" = false))]
    pub remove: bool,
}

/// `[[drop-in]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "DropIn", extend("required" = ["unit"]))]
pub struct DropInShape {
    /// The unit that it changes.
    #[schemars(extend("examples" = ["docker.service"]))]
    pub unit: Text,
    /// Its file name; ends in `.conf`.
    #[schemars(extend("default" = "50-recipe.conf", "examples" = ["10-limits.conf"]))]
    pub name: Text,
    /// Its text. Required.
    #[schemars(extend("examples" = ["[Service]\nLimitNOFILE=65536\n"]))]
    pub content: Text,
    /// Takes the inherited entry with the same `unit` and `name` away.
    #[schemars(extend("default" = false))]
    pub remove: bool,
}

/// `[[container]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Container", extend("required" = ["name"]))]
pub struct ContainerShape {
    /// Its name, that of the unit that runs it (`NAME.service`) and of its image in the engine (`NAME:latest`).
    #[schemars(extend("examples" = ["web"]))]
    pub name: Text,
    /// Its image, relative to the recipe: an OCI layout (folder or tar) or the output of `docker save`. Either this or
    /// `package`.
    #[schemars(extend("examples" = ["web.oci.tar"]))]
    pub image: Text,
    /// A package whose files are the image, without what the package depends on. Either this or `image`.
    #[schemars(extend("examples" = ["busybox-static"]))]
    pub package: Text,
    /// Whether it runs from boot on. If not, it is only loaded into the engine.
    #[schemars(extend("default" = true))]
    pub run: Option<bool>,
    /// Program and arguments, in place of those that the image names.
    #[schemars(extend("default" = [], "examples" = [["/bin/httpd", "-f"]]))]
    pub command: Texts,
    /// Ports that are published: `HOST:CONTAINER`, with `/udp` after it for UDP, and an address and `:` before it to
    /// listen on that address alone.
    #[schemars(extend("default" = [], "examples" = [["80:8080", "127.0.0.1:53:53/udp"]]))]
    pub ports: Texts,
    /// Folders of the host that it sees: `HOST:CONTAINER`, with `:ro` after it for read-only.
    #[schemars(extend("default" = [], "examples" = [["/var/lib/web:/data"]]))]
    pub volumes: Texts,
    /// Environment variables.
    #[schemars(extend("default" = {}, "examples" = [{ "LOG_LEVEL": "info" }]))]
    pub environment: BTreeMap<String, At<String>>,
    /// Its network.
    #[schemars(extend("default" = "bridge", "examples" = ["host"], "enum" = ["bridge", "host", "none"]))]
    pub network: Text,
    /// Takes the inherited entry with the same `name` away.
    #[schemars(extend("default" = false))]
    pub remove: bool,
}

/// `[[accept-script]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "AcceptScript", extend("required" = ["package", "script", "sha256"]))]
pub struct AcceptScriptShape {
    /// The package it is from.
    #[schemars(extend("examples" = ["nginx-common"]))]
    pub package: Text,
    /// Which of its scripts.
    #[schemars(extend("examples" = ["postinst"], "enum" = ["preinst", "postinst", "prerm", "postrm", "triggers"]))]
    pub script: Text,
    /// SHA-256 of the script, so that a changed one is not accepted unread.
    #[schemars(extend("examples" = ["ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"], "pattern" = "^[0-9A-Fa-f]{64}$"))]
    pub sha256: Text,
    /// Why it need not run; goes to the build's report. Required.
    #[schemars(extend("examples" = ["only reloads a running server"]))]
    pub reason: Text,
    /// Takes the inherited entry with the same `package`, `script` and `sha256` away.
    #[schemars(extend("default" = false))]
    pub remove: bool,
}
