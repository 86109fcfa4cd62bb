//! The five `common-*` files of `/etc/pam.d`, as `pam-auth-update` makes them from the profiles in
//! `/usr/share/pam-configs` (the format is described in the Debian wiki's PAMConfigFrameworkSpec), and what the other
//! PAM packages make at installation.

use std::collections::BTreeMap;

use slipway_images::tree::{Kind, Origin, RootTree, TreePath};

use super::error::{EffectError, put_file, text_of};
use crate::deb::Package;

const NAME: &str = "pam";

/// The files, the module type each is about, and whether it is for sessions without a person.
const STACKS: [(&str, &str, bool); 5] = [
    ("common-account", "account", false),
    ("common-auth", "auth", false),
    ("common-password", "password", false),
    ("common-session", "session", false),
    ("common-session-noninteractive", "session", true),
];

/// Writes them, where libpam-runtime's templates are there.
pub fn apply(tree: &mut RootTree, _: &[Package]) -> Result<(), EffectError> {
    let profiles = profiles(tree)?;
    for (file, kind, noninteractive) in STACKS {
        let Some(template) = text_of(tree, &format!("/usr/share/pam/{file}"))? else { continue };
        let wanted: Vec<&Profile> =
            profiles.iter().filter(|profile| !(noninteractive && profile.interactive_only)).collect();
        let text = fill(&template, kind, &wanted);
        put_file(tree, &format!("/etc/pam.d/{file}"), text, NAME)?;
    }
    if tree.contains(&TreePath::new("/etc/pam.d")?) {
        let origin = || Origin::Effect(NAME.into());
        // Old passwords, which pam_unix compares new ones with.
        tree.insert_file(TreePath::new("/etc/security/opasswd")?, 0o600, "", origin())?;
        // pam_env complains when it is missing.
        tree.insert_file(TreePath::new("/etc/environment")?, 0o644, "", origin())?;
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Profile {
    name: String,
    default: bool,
    priority: i64,
    interactive_only: bool,
    /// Module lines by field (`Auth`, `Auth-Initial`).
    lines: BTreeMap<String, Vec<String>>,
    /// `Primary` or `Additional` by module type.
    blocks: BTreeMap<String, String>,
}

fn profiles(tree: &RootTree) -> Result<Vec<Profile>, EffectError> {
    let folder = TreePath::new("/usr/share/pam-configs")?;
    let paths: Vec<TreePath> = tree
        .children(&folder)
        .filter(|(_, node)| matches!(node.kind, Kind::File(_)))
        .map(|(path, _)| path.clone())
        .collect();
    let mut profiles = Vec::new();
    for path in paths {
        let profile = parse(&text_of(tree, path.as_str())?.unwrap_or_default());
        if profile.default {
            profiles.push(profile);
        }
    }
    profiles.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.name.cmp(&b.name)));
    Ok(profiles)
}

fn parse(text: &str) -> Profile {
    let mut profile = Profile::default();
    let mut field = String::new();
    for line in text.lines() {
        if line.starts_with([' ', '\t']) {
            profile.lines.entry(field.clone()).or_default().push(line.trim().to_owned());
            continue;
        }
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        key.clone_into(&mut field);
        match key {
            "Name" => value.clone_into(&mut profile.name),
            "Default" => profile.default = value == "yes",
            "Priority" => profile.priority = value.parse().unwrap_or(0),
            "Session-Interactive-Only" => profile.interactive_only = value == "yes",
            _ => match key.strip_suffix("-Type") {
                Some(kind) => {
                    profile.blocks.insert(kind.to_lowercase(), value.to_owned());
                }
                None if !value.is_empty() => profile.lines.entry(field.clone()).or_default().push(value.to_owned()),
                None => {}
            },
        }
    }
    profile
}

fn fill(template: &str, kind: &str, profiles: &[&Profile]) -> String {
    let mut out = String::new();
    for line in template.lines() {
        match line.strip_prefix('$') {
            Some(variable) if variable.ends_with("_primary") => out.push_str(&primary(kind, profiles)),
            Some(variable) if variable.ends_with("_additional") => out.push_str(&additional(kind, profiles)),
            _ => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out
}

/// The lines of the block, those of the first profile in their `-Initial` form.
fn module_lines(kind: &str, block: &str, profiles: &[&Profile]) -> Vec<String> {
    let field = format!("{}{}", kind[..1].to_uppercase(), &kind[1..]);
    profiles
        .iter()
        .filter(|profile| profile.blocks.get(kind).is_some_and(|found| found == block))
        .enumerate()
        .flat_map(|(index, profile)| {
            let initial = profile.lines.get(&format!("{field}-Initial")).filter(|_| index == 0);
            initial.or_else(|| profile.lines.get(&field)).cloned().unwrap_or_default()
        })
        .collect()
}

fn primary(kind: &str, profiles: &[&Profile]) -> String {
    let lines = module_lines(kind, "Primary", profiles);
    if lines.is_empty() {
        // The block must let what follows decide: jump over the denial.
        return format!("{kind}\t[default=1]\t\t\tpam_permit.so\n");
    }
    let count = lines.len();
    // `end` jumps over the rest of the block and the denial after it.
    let numbered = lines.iter().enumerate().map(|(index, line)| line.replace("=end", &format!("={}", count - index)));
    numbered.map(|line| format!("{kind}\t{line}\n")).collect()
}

fn additional(kind: &str, profiles: &[&Profile]) -> String {
    module_lines(kind, "Additional", profiles).iter().map(|line| format!("{kind}\t{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const UNIX: &str = "\
Name: Unix authentication
Default: yes
Priority: 256
Auth-Type: Primary
Auth:
\t[success=end default=ignore]\tpam_unix.so nullok try_first_pass
Auth-Initial:
\t[success=end default=ignore]\tpam_unix.so nullok
Session-Type: Additional
Session:
\trequired\tpam_unix.so
";
    const EXTRA: &str = "\
Name: Extra
Default: yes
Priority: 128
Auth-Type: Primary
Auth:
\t[success=end default=ignore]\tpam_extra.so
";
    const SYSTEMD: &str = "\
Name: Register user sessions in the systemd control group hierarchy
Default: yes
Priority: 0
Session-Interactive-Only: yes
Session-Type: Additional
Session:
\toptional\tpam_systemd.so
";
    const NOT_DEFAULT: &str =
        "Name: Homes\nDefault: no\nSession-Type: Additional\nSession:\n\toptional pam_mkhomedir.so\n";

    fn tree() -> RootTree {
        let mut tree = RootTree::new();
        let template = |kind: &str, variable: &str| {
            format!("# {kind}\n${variable}_primary\n{kind}\trequisite\tpam_deny.so\n${variable}_additional\n# end\n")
        };
        for (path, text) in [
            ("/usr/share/pam-configs/unix", UNIX.to_owned()),
            ("/usr/share/pam-configs/extra", EXTRA.to_owned()),
            ("/usr/share/pam-configs/systemd", SYSTEMD.to_owned()),
            ("/usr/share/pam-configs/mkhomedir", NOT_DEFAULT.to_owned()),
            ("/usr/share/pam/common-auth", template("auth", "auth")),
            ("/usr/share/pam/common-session", template("session", "session")),
            ("/usr/share/pam/common-session-noninteractive", template("session", "session_nonint")),
        ] {
            tree.insert_file(path.parse().unwrap(), 0o644, text, Origin::Recipe).unwrap();
        }
        apply(&mut tree, &[]).unwrap();
        tree
    }

    #[test]
    fn a_success_jumps_over_the_rest_of_the_block_and_the_denial() {
        let text = text_of(&tree(), "/etc/pam.d/common-auth").unwrap().unwrap();
        assert_eq!(
            text,
            "# auth\n\
             auth\t[success=2 default=ignore]\tpam_unix.so nullok\n\
             auth\t[success=1 default=ignore]\tpam_extra.so\n\
             auth\trequisite\tpam_deny.so\n# end\n"
        );
    }

    #[test]
    fn sessions_without_a_person_get_no_logind_session() {
        let tree = tree();
        let read = |file: &str| text_of(&tree, &format!("/etc/pam.d/{file}")).unwrap().unwrap();
        let session = read("common-session");
        assert!(session.contains("session\toptional\tpam_systemd.so"), "{session}");
        assert!(session.starts_with("# session\nsession\t[default=1]"), "{session}");
        assert!(!session.contains("pam_mkhomedir"), "not a default profile");
        let noninteractive = read("common-session-noninteractive");
        assert!(noninteractive.contains("pam_unix") && !noninteractive.contains("pam_systemd"), "{noninteractive}");
    }
}
