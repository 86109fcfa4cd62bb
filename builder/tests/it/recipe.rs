//! What a recipe comes to: merging, defaults, digest.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use proptest::prelude::*;
use slipway_builder::recipe::{CheckKind, ContainerImage, DownloadTarget, FileSource, Recipe};

fn goldens() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/recipe")
}

fn golden(name: &str) -> Recipe {
    Recipe::load(&goldens().join(name)).unwrap()
}

/// The recipe that `files`, the first of them loaded, come to.
fn from_texts(files: &[(&str, &str)]) -> Result<Recipe, String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    Recipe::load(&folder.path().join(files[0].0)).map_err(|error| error.to_string())
}

const BASE: &str = "[image]\nid = \"base\"\nversion = \"1\"\n[packages]\nadd = [\"systemd\"]\n";

#[test]
fn the_recipe_of_the_guide_is_understood() {
    let recipe = golden("example.toml");
    assert_eq!((recipe.image.id.as_str(), recipe.image.version.as_str()), ("edge-web", "2026.11.22"));
    assert_eq!(recipe.image.hostname, "edge-web");
    assert_eq!(recipe.packages.add, ["systemd", "docker.io", "curl"]);
    assert!(matches!(&recipe.files[0].source, FileSource::Inline(text) if text == "net.core.somaxconn = 4096\n"));
    assert_eq!(recipe.files[0].ownership.mode, 0o644);
    let web = recipe.containers.iter().find(|container| container.name == "web").unwrap();
    assert!(web.run && web.network == "bridge" && web.ports == ["80:8080"]);
    assert!(
        matches!(&web.image, ContainerImage::Local(path) if path.is_absolute() && path.ends_with("files/web.oci.tar"))
    );
    let check = &recipe.health.checks[0];
    assert_eq!(check.name, "http http://127.0.0.1/healthz");
    assert_eq!(check.what, CheckKind::Http("http://127.0.0.1/healthz".into()));
    assert_eq!(check.within, Duration::from_secs(30));
    assert_eq!(recipe.health.soak, Duration::from_secs(30));
    assert_eq!(recipe.smoke.soak, Duration::ZERO);
    assert_eq!(recipe.archive.suites, ["trixie", "trixie-updates", "trixie-security"]);
    assert_eq!((recipe.disk.size, recipe.disk.slot, recipe.disk.headroom_percent), (8 << 30, 1 << 30, 10));
}

#[test]
fn every_key_arrives() {
    let recipe = golden("full.toml");
    assert_eq!(recipe.packages.add, ["systemd", "curl=8.14.1-2", "xfsprogs", "perl-base"]);
    assert_eq!(recipe.packages.drop, ["dpkg"], "what is added here is no longer dropped");
    assert_eq!(recipe.units.enable, ["docker.service"], "what is disabled here is no longer enabled");
    assert_eq!(recipe.kernel.command_line, ["quiet", "console=ttyS0"]);
    assert_eq!(recipe.repositories[0].url, "https://packages.example.com/debian");
    assert_eq!(recipe.sysctl.get("net.core.somaxconn").map(String::as_str), Some("4096"));
    assert_eq!(recipe.sysctl.get("vm.swappiness").map(String::as_str), Some("10"));
    assert_eq!(recipe.containers.len(), 1, "the inherited container was removed");
    assert!(recipe.smoke.checks.is_empty(), "the inherited check was removed");
    assert_eq!(recipe.downloads[0].sha256, recipe.downloads[1].sha256, "capital digits are digits");
    assert!(matches!(&recipe.downloads[1].target, DownloadTarget::Extract { strip: 1, .. }));
    assert_eq!(recipe.directories[0].ownership.mode, 0o2750);
    let migrations: Vec<&str> = recipe.migrations.iter().map(|migration| migration.name.as_str()).collect();
    assert_eq!(migrations, ["db", "web-2"], "the oldest first");
    assert_eq!(recipe.migrations[0].within, Duration::from_mins(5));
    assert_eq!(recipe.health.checks.len(), 8);
    assert_eq!(recipe.health.checks[0].within, Duration::from_secs(90));
    assert_eq!(recipe.users[0].home.as_str(), "/var/home/c");
    assert_eq!((recipe.boot.timeout, recipe.disk.state_filesystem.as_str()), (3, "xfs"));
}

#[test]
fn entries_of_the_same_name_replace_the_inherited_ones_in_place() {
    let child =
        "extends = \"base.toml\"\n[[link]]\npath = \"/b\"\ntarget = \"new\"\n[[link]]\npath = \"/c\"\ntarget = \"x\"\n";
    let base = format!("{BASE}[[link]]\npath = \"/a\"\ntarget = \"x\"\n[[link]]\npath = \"/b\"\ntarget = \"old\"\n");
    let recipe = from_texts(&[("child.toml", child), ("base.toml", &base)]).unwrap();
    let links: Vec<(&str, &str)> = recipe.links.iter().map(|link| (link.path.as_str(), link.target.as_str())).collect();
    assert_eq!(links, [("/a", "x"), ("/b", "new"), ("/c", "x")]);
}

#[test]
fn a_version_that_is_asked_for_here_replaces_the_inherited_request() {
    let child = "extends = \"base.toml\"\n[packages]\nadd = [\"systemd=257\"]\n";
    assert_eq!(from_texts(&[("child.toml", child), ("base.toml", BASE)]).unwrap().packages.add, ["systemd=257"]);
}

#[test]
fn local_files_start_at_the_recipe_that_names_them() {
    let base = format!("{BASE}[[file]]\npath = \"/etc/motd\"\nsource = \"motd\"\n");
    let files = [("child.toml", "extends = \"parts/base.toml\"\n"), ("parts/base.toml", &base), ("parts/motd", "hi")];
    let recipe = from_texts(&files).unwrap();
    assert!(matches!(&recipe.files[0].source, FileSource::Local(path) if path.ends_with("parts/motd")));
}

#[test]
fn the_digest_is_over_the_meaning() {
    let digest = |text: &str| from_texts(&[("r.toml", text)]).unwrap().digest;
    let plain = digest(BASE);
    assert_eq!(plain, digest(&format!("# A comment.\n\n{BASE}")));
    assert_eq!(plain, digest(&format!("{BASE}[disk]\nsize = \"8192M\"\n")), "the same size in other words");
    assert_eq!(plain, digest("packages.add = [\"systemd\"]\n[image]\nversion = \"1\"\nid = \"base\"\n"));
    assert_eq!(plain, from_texts(&[("c.toml", "extends = \"b.toml\""), ("b.toml", BASE)]).unwrap().digest);
    assert_ne!(plain, digest(&format!("{BASE}[disk]\nsize = \"9G\"\n")));
    assert_ne!(plain, digest(&format!("{BASE}[sysctl]\nvm.swappiness = 1\n")));
}

#[test]
fn the_digest_does_not_depend_on_the_folder() {
    let text = format!("{BASE}[[file]]\npath = \"/etc/motd\"\nsource = \"files/motd\"\n");
    let files = [("r.toml", text.as_str()), ("files/motd", "hi")];
    assert_eq!(from_texts(&files).unwrap().digest, from_texts(&files).unwrap().digest);
}

#[test]
fn a_long_chain_is_cut() {
    let files: Vec<(String, String)> =
        (0..20).map(|n| (format!("{n}.toml"), format!("extends = \"{}.toml\"\n", n + 1))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert!(from_texts(&files).unwrap_err().contains("more than 16 recipes extend one another"));
}

#[test]
fn the_recipes_of_the_repository_are_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes");
    let mut ids = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let recipe = Recipe::load(&path).unwrap();
            assert_eq!(path.file_stem().unwrap().to_str(), Some(recipe.image.id.as_str()), "file and id have one name");
            assert!(!recipe.health.checks.is_empty() && !recipe.smoke.checks.is_empty());
            ids.push(recipe.image.id);
        }
    }
    ids.sort();
    assert_eq!(ids, ["containerd-host", "docker-host", "minimal"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A full recipe with bytes changed, cut out or doubled is taken or refused, with places that lie in the text.
    #[test]
    fn no_text_makes_the_reader_panic(start in 0_usize..4000, len in 0_usize..40, insert in "[\\[\\]\"=.,{}a-z0-9 \n#é-]{0,12}") {
        let full = fs::read_to_string(goldens().join("full.toml")).unwrap();
        let start = (0..=start.min(full.len())).rev().find(|at| full.is_char_boundary(*at)).unwrap_or(0);
        let end = (start + len).min(full.len());
        let text = format!("{}{insert}{}", &full[..start], &full[end..]);
        let base = fs::read_to_string(goldens().join("base.toml")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("r.toml"), text).unwrap();
        fs::write(folder.path().join("base.toml"), base).unwrap();
        if let Err(error) = Recipe::load(&folder.path().join("r.toml")) {
            prop_assert!(!error.problems().is_empty());
            for place in error.problems().iter().filter_map(|problem| problem.place.as_ref()) {
                prop_assert!(place.span.start <= place.span.end && place.span.end <= place.text.len());
                place.line_and_column();
            }
        }
    }
}
