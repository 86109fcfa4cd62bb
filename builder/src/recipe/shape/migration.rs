//! `[[migration]]`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Text, Texts};

/// `[[migration]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Migration", extend("required" = ["name", "since"]))]
pub struct MigrationShape {
    /// What tells it from others, for good: a host keeps what undoes it under this name.
    #[schemars(extend("examples" = ["app-2"]))]
    pub name: Text,
    /// The first version whose state is so. A host that comes from an older one migrates.
    #[schemars(extend("examples" = ["2026.12.1"]))]
    pub since: Text,
    /// A program of the image that migrates, run as `PROGRAM up FROM TO` with two versions. Whatever cut it off, running it again must
    /// lead to the end. Needless with `copy-aside` if the services change their state by themselves.
    #[schemars(extend("examples" = ["/usr/lib/app/migrate"]))]
    pub up: Text,
    /// A program of the image that undoes it, run as `PROGRAM down FROM TO` by the older version: a script or a static program. Either
    /// this or `copy-aside`.
    #[schemars(extend("examples" = ["/usr/lib/app/migrate"]))]
    pub down: Text,
    /// Files and folders below `/var` that are copied before anything is changed, and put back when the version is left. Either
    /// this or `down`.
    #[schemars(extend("default" = [], "examples" = [["/var/lib/app"]]))]
    pub copy_aside: Texts,
    /// Units that must not start when it fails.
    #[schemars(extend("default" = [], "examples" = [["app.service"]]))]
    pub before: Texts,
    /// What copying, `up` and `down` may take, each.
    #[schemars(extend("default" = "5m", "examples" = ["30s"]))]
    pub within: Text,
    /// Takes the inherited entry with the same `name` away.
    #[schemars(extend("default" = false))]
    pub remove: bool,
}
