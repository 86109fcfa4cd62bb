#![allow(clippy::unwrap_used)]

use super::*;
use crate::compose::fixture::{inputs, lock, package, path, recipe, script, text, user};
use crate::compose::{Composition, compose};
use crate::deb::Package;
use crate::lock::Lock;
use crate::recipe::{FileEntry, FileSource, Ownership, Recipe};

const SSH_UNIT: &str = "[Service]\nExecStart=/usr/sbin/sshd\n[Install]\nWantedBy=multi-user.target\n";

/// The least that an image is made of.
fn packages() -> Vec<Package> {
    let units = "/usr/lib/systemd/system";
    let mut ssh = package(
        "openssh-server",
        &[
            ("/usr/sbin/sshd", "elf"),
            ("/usr/share/openssh/sshd_config", "UsePAM yes\n"),
            (&format!("{units}/ssh.service"), SSH_UNIT),
            (&format!("{units}/sshd-keygen.service"), "[Install]\nWantedBy=ssh.service\n"),
            ("/usr/lib/tmpfiles.d/openssh-server.conf", "d /run/sshd 0755\n"),
        ],
    );
    ssh.scripts.insert("postinst".to_owned(), enabling("ssh.service") + &enabling("sshd-keygen.service"));
    vec![
        package(
            "base-files",
            &[
                ("/usr/lib/os-release", "ID=debian\nVERSION_ID=\"13\"\n"),
                ("/usr/share/base-files/profile", "# profile\n"),
                ("/etc/skel/.profile", "# skel\n"),
                ("/var/lib/misc/x", "state"),
            ],
        ),
        package("linux", &[("/boot/vmlinuz-6.12", "bzImage"), ("/usr/lib/modules/6.12/modules.builtin", "")]),
        package("e2fsprogs", &[("/usr/sbin/mkfs.ext4", "elf")]),
        package(
            "systemd",
            &[
                ("/usr/bin/systemd-repart", "elf"),
                (&format!("{units}/multi-user.target"), ""),
                (&format!("{units}/ldconfig.service"), ""),
                (&format!("{units}/sysinit.target.wants/ldconfig.service"), "-> ../ldconfig.service"),
                ("/usr/lib/systemd/system-generators/systemd-sysv-generator", "elf"),
                ("/usr/lib/systemd/system-generators/systemd-getty-generator", "elf"),
                (
                    "/usr/lib/tmpfiles.d/etc.conf",
                    "d /etc/credstore 0700 root root\nL! /etc/resolv.conf - - - - ../run/stub\nL+ /etc/mtab - - - - a\n\
                     f^ /etc/issue.d/x - - - - login.issue\nd /var/log 0755 - - -\n",
                ),
            ],
        ),
        ssh,
    ]
}

fn composed(recipe: &Recipe, packages: &[Package]) -> Result<Composition, ComposeError> {
    compose(&inputs(recipe, &pinned(recipe, packages), packages))
}

/// A lock with all the ids that these packages and this recipe need.
fn pinned(recipe: &Recipe, packages: &[Package]) -> Lock {
    let none = std::collections::BTreeMap::new();
    let accounts = crate::compose::accounts::assign(packages, recipe, (&none, &none)).unwrap();
    Lock { users: accounts.pinned_users, groups: accounts.pinned_groups, ..lock() }
}

#[test]
fn a_small_host_is_whole() {
    let mut recipe = recipe();
    recipe.users.push(crate::recipe::User { authorized_keys: vec!["ssh-ed25519 AAAA me".to_owned()], ..user("core") });
    let composition = composed(&recipe, &packages()).unwrap();
    let tree = &composition.tree;
    assert_eq!(composition.kernel.release, "6.12");
    assert!(tree.get(&path("/boot/vmlinuz-6.12")).is_none());
    assert_eq!(tree.get(&TreePath::root()).unwrap().meta.mode, 0o755);
    assert_eq!(tree.get(&path("/var/tmp")).unwrap().meta.mode, 0o1777);
    assert_eq!(tree.get(&path("/etc/shadow")).unwrap().meta.mode, 0o640);
    assert_eq!(tree.get(&path("/etc/credstore")).unwrap().meta.mode, 0o700);
    assert_eq!(tree.get(&path("/etc/machine-id")).unwrap().meta.mode, 0o444);
    assert_eq!(tree.get(&path("/home")).unwrap().kind, Kind::Symlink("var/home".to_owned()));
    assert_eq!(tree.get(&path("/etc/resolv.conf")).unwrap().kind, Kind::Symlink("../run/stub".to_owned()));
    assert!(tree.get(&path("/etc/issue.d/x")).is_none(), "credentials are the machine's");
    assert_eq!(
        text(tree, "/usr/lib/os-release"),
        "ID=debian\nVERSION_ID=\"13\"\nIMAGE_ID=demo\nIMAGE_VERSION=\"2026.11\"\n"
    );
    assert_eq!(text(tree, "/etc/hostname"), "demo-host\n");
    assert_eq!(text(tree, "/etc/profile"), "# profile\n");
    assert_eq!(text(tree, "/etc/ssh/authorized_keys.d/core"), "ssh-ed25519 AAAA me\n");
    assert!(text(tree, "/etc/ssh/sshd_config.d/10-slipway.conf").contains("PasswordAuthentication no\n"));
    assert!(text(tree, "/usr/lib/tmpfiles.d/slipway-homes.conf").starts_with("d /var/home/core 0700 1000 1000 -\n"));
    assert!(tree.get(&path("/etc/systemd/system/multi-user.target.wants/ssh.service")).is_some());
    let needless = ["ldconfig.service", "sysinit.target.wants/ldconfig.service", "sshd-keygen.service"];
    for unit in needless {
        assert!(tree.get(&path(&format!("/usr/lib/systemd/system/{unit}"))).is_none(), "{unit}");
    }
    let generators: Vec<&str> =
        tree.children(&path("/usr/lib/systemd/system-generators")).map(|(path, _)| path.name()).collect();
    assert_eq!(generators, ["systemd-getty-generator"]);
    tree.check_hard_links().unwrap();
}

#[test]
fn var_is_made_at_boot_and_its_files_come_from_the_factory() {
    let composition = composed(&recipe(), &packages()).unwrap();
    let lines = text(&composition.tree, "/usr/lib/tmpfiles.d/slipway-var.conf");
    for line in ["d /var/home 0755 root root -", "C /var/lib/misc/x 0644 0 0 - /usr/share/factory/var/lib/misc/x"] {
        assert!(lines.lines().any(|known| known == line), "{line}\n{lines}");
    }
    assert!(!lines.contains("/var/log "), "a package has a line for it: {lines}");
    assert_eq!(text(&composition.tree, "/usr/share/factory/var/lib/misc/x"), "state");
    assert!(composition.tree.get(&path("/var/lib/misc")).is_none());
}

#[test]
fn no_effect_overrides_the_recipe() {
    let ownership = Ownership { owner: "root".to_owned(), group: "root".to_owned(), mode: 0o600 };
    let entry = |file: &str| FileEntry {
        path: path(file),
        source: FileSource::Inline("mine".to_owned()),
        ownership: ownership.clone(),
    };
    let files = ["/etc/hosts", "/etc/nsswitch.conf", "/etc/ssh/sshd_config.d/10-slipway.conf", "/usr/lib/os-release"];
    let mut recipe = recipe();
    recipe.files = files.map(entry).to_vec();
    let composition = composed(&recipe, &packages()).unwrap();
    for file in files {
        assert_eq!(text(&composition.tree, file), "mine");
        assert_eq!(composition.tree.get(&path(file)).unwrap().meta.mode, 0o600);
    }
}

#[test]
fn ids_that_the_lock_lacks_stop_the_build() {
    let recipe = recipe();
    let (lock, mut packages) = (lock(), packages());
    packages.push(package("x", &[("/usr/lib/sysusers.d/x.conf", "u x -\n")]));
    let error = compose(&inputs(&recipe, &lock, &packages)).unwrap_err();
    assert_eq!(error.to_string(), "the lock pins no id for x: run `slipway lock`");
}

#[test]
fn a_file_system_without_its_maker_stops_the_build() {
    let mut recipe = recipe();
    recipe.disk.state_filesystem = "xfs".to_owned();
    let error = composed(&recipe, &packages()).unwrap_err().to_string();
    assert_eq!(error, "effect `state`: the state partition needs `mkfs.xfs`: add xfsprogs to the packages");
}

#[test]
fn the_best_alternative_that_is_there_is_linked() {
    let mut packages = packages();
    packages.push(package("less", &[("/usr/bin/less", "elf"), ("/usr/bin/more", "elf")]));
    packages.push(script(
        "choices",
        "update-alternatives --install /usr/bin/pager pager /usr/bin/more 50\n\
         update-alternatives --install /usr/bin/pager pager /usr/bin/less 77\n\
         update-alternatives --install /usr/bin/pager pager /usr/bin/most 99\n",
    ));
    let composition = composed(&recipe(), &packages).unwrap();
    assert_eq!(composition.tree.get(&path("/usr/bin/pager")).unwrap().kind, Kind::Symlink("less".to_owned()));
}

#[test]
fn certificates_are_one_bundle_in_byte_order_with_a_newline_each() {
    let mut packages = packages();
    let certificate = |name: &str| format!("-----BEGIN CERTIFICATE-----\n{name}");
    packages.push(package(
        "ca-certificates",
        &[
            ("/usr/share/ca-certificates/mozilla/b.crt", &certificate("b")),
            ("/usr/share/ca-certificates/mozilla/A.crt", &certificate("A")),
            ("/usr/local/share/ca-certificates/own.crt", &certificate("own")),
        ],
    ));
    let composition = composed(&recipe(), &packages).unwrap();
    let bundle = text(&composition.tree, "/usr/lib/ssl/cert.pem");
    let names: Vec<&str> = bundle.lines().filter(|line| !line.starts_with('-')).collect();
    assert_eq!(names, ["A", "b", "own"]);
}

#[test]
fn the_same_inputs_give_the_same_tree_in_any_order() {
    let forward = packages();
    let backward: Vec<Package> = forward.iter().rev().cloned().collect();
    let (one, other) = (composed(&recipe(), &forward).unwrap(), composed(&recipe(), &backward).unwrap());
    assert_eq!(one.tree, other.tree);
    assert_eq!(one.pruned, other.pruned);
}

/// The targets and units that want `unit`, by the links to it.
fn wanted_by(tree: &RootTree, unit: &str) -> Vec<String> {
    let wants = tree.iter().filter(|(path, _)| path.name() == unit && path.as_str().contains(".wants/"));
    let folder = |path: &TreePath| path.parent().map(|folder| folder.name().to_owned());
    wants.filter_map(|(path, _)| folder(path)?.strip_suffix(".wants").map(str::to_owned)).collect()
}

/// As debhelper writes it for a unit that is enabled on a fresh installation.
fn enabling(unit: &str) -> String {
    format!(
        "# Automatically added by dh_installsystemd/13\nif deb-systemd-helper --quiet was-enabled '{unit}'; then\nfi\n\
         # End automatically added section\n"
    )
}

fn docker() -> Package {
    let units = "/usr/lib/systemd/system";
    let mut docker = package(
        "docker.io",
        &[
            ("/usr/bin/docker", "elf"),
            ("/usr/sbin/dockerd", "elf"),
            (&format!("{units}/docker.service"), "[Install]\nWantedBy=multi-user.target\n"),
            (&format!("{units}/docker.socket"), "[Install]\nWantedBy=sockets.target\n"),
            (&format!("{units}/unwanted.timer"), "[Install]\nWantedBy=timers.target\n"),
            ("/usr/lib/systemd/system-preset/10-x.preset", "disable unwanted.*\nenable *\n"),
        ],
    );
    let text: String = ["docker.service", "docker.socket", "unwanted.timer"].map(enabling).concat();
    docker.scripts.insert("postinst".to_owned(), text);
    docker
}

#[test]
fn units_start_as_scripts_presets_and_recipe_say_in_this_order() {
    let mut packages = packages();
    packages.push(docker());
    let tree = composed(&recipe(), &packages).unwrap().tree;
    assert_eq!(wanted_by(&tree, "docker.service"), ["multi-user.target"]);
    assert_eq!(wanted_by(&tree, "docker.socket"), ["sockets.target"]);
    assert!(wanted_by(&tree, "unwanted.timer").is_empty(), "a preset says no");
    assert_eq!(text(&tree, "/etc/docker/daemon.json"), "{\n  \"log-driver\": \"local\"\n}\n");

    let mut recipe = recipe();
    recipe.units.enable = vec!["unwanted.timer".to_owned()];
    recipe.units.disable = vec!["docker.service".to_owned()];
    recipe.units.mask = vec!["docker.socket".to_owned()];
    let tree = composed(&recipe, &packages).unwrap().tree;
    assert_eq!(wanted_by(&tree, "unwanted.timer"), ["timers.target"]);
    assert!(wanted_by(&tree, "docker.service").is_empty());
    let masked = tree.get(&path("/etc/systemd/system/docker.socket")).unwrap();
    assert_eq!(masked.kind, Kind::Symlink("/dev/null".to_owned()));
}

#[test]
fn a_container_is_loaded_by_a_unit_and_run_by_another_if_it_is_to_run() {
    let mut packages = packages();
    packages.push(docker());
    let archive = {
        let config = "ab".repeat(32);
        let manifest = format!("[{{\"Config\":\"blobs/sha256/{config}\"}}]");
        let mut header = tar::Header::new_gnu();
        header.set_size(manifest.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_data(&mut header, "manifest.json", manifest.as_bytes()).unwrap();
        Content::from_bytes(builder.into_inner().unwrap())
    };
    let container = |name: &str, run| crate::recipe::Container {
        name: name.to_owned(),
        image: crate::recipe::ContainerImage::Package("busybox-static".to_owned()),
        run,
        command: Vec::new(),
        ports: Vec::new(),
        volumes: Vec::new(),
        environment: std::collections::BTreeMap::new(),
        network: "none".to_owned(),
    };
    let (web, tool) = (container("web", true), container("tool", false));
    let containers = [(&web, archive.clone()), (&tool, archive.clone())];
    let (recipe, lock) = (recipe(), pinned(&recipe(), &packages));
    let inputs = crate::compose::Inputs { containers: &containers, ..inputs(&recipe, &lock, &packages) };
    let tree = compose(&inputs).unwrap().tree;
    for name in ["web", "tool"] {
        assert_eq!(wanted_by(&tree, &format!("slipway-load-{name}.service")), ["multi-user.target"]);
        assert_eq!(tree.file(&path(&format!("/usr/share/slipway/containers/{name}.tar"))), Some(&archive));
    }
    assert_eq!(wanted_by(&tree, "web.service"), ["multi-user.target"]);
    assert!(tree.get(&path("/usr/lib/systemd/system/tool.service")).is_none());
    let unit = text(&tree, "/usr/lib/systemd/system/web.service");
    for line in ["Requires=docker.service slipway-load-web.service", "After=docker.service slipway-load-web.service"] {
        assert!(unit.lines().any(|known| known == line), "{line}\n{unit}");
    }
    let unit = text(&tree, "/usr/lib/systemd/system/slipway-load-web.service");
    assert!(unit.contains("--input /usr/share/slipway/containers/web.tar"), "{unit}");
}

#[test]
fn a_window_by_a_zone_that_the_image_lacks_stops_the_build() {
    let settings = slipway_images::update::UpdateSettings {
        urls: vec!["https://updates.example.com/web/".to_owned()],
        channel: slipway_images::release::ChannelName::new("stable").unwrap(),
        every: std::time::Duration::from_hours(1),
        restart: true,
        windows: vec!["02:00-04:00 Europe/Berlin".parse().unwrap()],
        stage: slipway_images::update::StageWhen::AnyTime,
        fleet_lock: None,
    };
    let root = std::path::PathBuf::from("/keys/root.json");
    let recipe = Recipe { update: Some(crate::recipe::UpdateSection { settings, root: root.clone() }), ..recipe() };
    let composed = |packages: &[Package]| {
        let lock = pinned(&recipe, packages);
        let local_files = [(root.clone(), Content::from_bytes(*b"{}"))].into();
        compose(&crate::compose::Inputs { local_files, ..inputs(&recipe, &lock, packages) })
    };
    let mut packages = packages();
    let error = composed(&packages).unwrap_err().to_string();
    assert!(error.contains("`02:00-04:00 Europe/Berlin`") && error.contains("add tzdata"), "{error}");
    packages.push(package("tzdata", &[("/usr/share/zoneinfo/Europe/Berlin", "TZif2")]));
    composed(&packages).unwrap();
}

#[test]
fn metrics_are_on_a_socket_and_nothing_runs_for_them() {
    let units = "/usr/lib/systemd/system";
    let tree = composed(&recipe(), &packages()).unwrap().tree;
    assert_eq!(wanted_by(&tree, "slipway-metrics.socket"), ["sockets.target"]);
    assert_eq!(wanted_by(&tree, "slipway-metrics@.service"), [""; 0]);
    let has = |unit: &str, lines: &[&str]| {
        let text = text(&tree, &format!("{units}/{unit}"));
        for line in lines {
            assert!(text.lines().any(|known| known == *line), "{line}\n{text}");
        }
    };
    let socket = ["ListenStream=/run/slipway/metrics.sock", "Accept=yes", "SocketMode=0666", "MaxConnections=16"];
    has("slipway-metrics.socket", &socket);
    let service = [
        "ExecStart=-/usr/bin/slipway-agent metrics --serve",
        "StandardInput=socket",
        "CollectMode=inactive-or-failed",
        "CapabilityBoundingSet=",
        "DeviceAllow=block-* r",
        "DevicePolicy=closed",
        "PrivateNetwork=yes",
        "ProtectSystem=strict",
    ];
    has("slipway-metrics@.service", &service);
    has("slipway-update.service", &["DeviceAllow=block-* rw", "ProtectSystem=strict", "CapabilityBoundingSet="]);
}

fn program(path: &str) -> FileEntry {
    let ownership = Ownership { owner: "root".to_owned(), group: "root".to_owned(), mode: 0o755 };
    FileEntry { path: self::path(path), source: FileSource::Inline("#!/bin/sh\n".to_owned()), ownership }
}

/// A recipe that migrates before `ssh.service`, and the packages that it takes.
fn migrating() -> (Recipe, Vec<Package>) {
    let mut recipe = recipe();
    recipe.files.push(program("/usr/lib/app/migrate"));
    recipe.migrations.push(crate::recipe::Migration {
        name: crate::recipe::MigrationName::new("app-2").unwrap(),
        since: "2".parse().unwrap(),
        up: Some("/usr/lib/app/migrate".to_owned()),
        reverse: crate::recipe::Reverse::Down("/usr/lib/app/migrate".to_owned()),
        before: vec!["ssh.service".to_owned()],
        within: std::time::Duration::from_mins(5),
    });
    let mut packages = packages();
    packages.push(package("coreutils", &[("/usr/bin/cp", "elf")]));
    (recipe, packages)
}

#[test]
fn migrations_run_before_the_services_that_need_them_and_every_image_can_undo() {
    let units = "/usr/lib/systemd/system";
    let (recipe, packages) = migrating();
    let tree = composed(&recipe, &packages).unwrap().tree;
    let document: slipway_images::migration::ImageMigrations =
        serde_json::from_str(&text(&tree, "/usr/lib/slipway/migrations.json")).unwrap();
    assert_eq!(document.migrations, recipe.migrations);
    let drop_in = text(&tree, &format!("{units}/ssh.service.d/10-slipway-migrate.conf"));
    assert_eq!(drop_in, "[Unit]\nRequires=slipway-migrate.service\nAfter=slipway-migrate.service\n");
    assert!(text(&tree, &format!("{units}/slipway-health.service")).contains("\nJobTimeoutSec=1500\n"));
    let plain = composed(&self::recipe(), &self::packages()).unwrap().tree;
    for tree in [&tree, &plain] {
        assert!(tree.contains(&path(&format!("{units}/local-fs.target.wants/slipway-migrate.service"))));
    }
    assert!(!plain.contains(&path("/usr/lib/slipway/migrations.json")));
}

#[test]
fn a_migration_that_could_not_run_stops_the_build() {
    type Change = fn(&mut Recipe, &mut Vec<Package>);
    let cases: [(Change, &str); 4] = [
        (|recipe, _| recipe.files.clear(), "`/usr/lib/app/migrate` of a migration isn't in the image"),
        (|recipe, _| recipe.files[0].ownership.mode = 0o644, "can't be executed: it needs `mode = \"0755\"`"),
        (
            |recipe, _| recipe.migrations[0].before = vec!["sshd.service".to_owned()],
            "is before `sshd.service`, which isn't",
        ),
        (|_, packages| drop(packages.pop()), "migrations need `cp`: add coreutils to the packages"),
    ];
    for (change, words) in cases {
        let (mut recipe, mut packages) = migrating();
        change(&mut recipe, &mut packages);
        let error = composed(&recipe, &packages).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}
