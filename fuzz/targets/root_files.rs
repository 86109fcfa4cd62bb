//! Files of packages that the builder looks into: programs and libraries, kernel modules, units, presets, accounts, maintainer
//! scripts. What is read is read the same again, and a finding is about the file that was damaged.
//!
//! The first byte says as what the rest is read.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use slipway_builder::compose::accounts;
use slipway_builder::compose::closure;
use slipway_builder::compose::kernel::ModuleInfo;
use slipway_builder::compose::scripts;
use slipway_builder::compose::units::{Install, Presets};
use slipway_builder::deb::Package;
use slipway_fuzz::{elf, first, raw_or_damaged};
use slipway_images::tree::{Origin, RootTree, TreePath};

const SYSUSERS: &str = "u! systemd-network 998:991 \"Network, all of it\" - /usr/sbin/nologin\ng wheel -\nm ops wheel\nr - 500-900\n# note\n";
const UNIT: &str = "[Unit]\nRequires=a.service \\\n b.socket\n[Service]\nExecStart=-/usr/bin/env 'x y'\nEnvironmentFile=/etc/x\n\
    [Install]\nWantedBy=multi-user.target\nAlias=c.service\nAlso=d@.service\nDefaultInstance=e\n";
const PRESET: &str = "enable ssh.service\ndisable [a-z]*@.service\nignore *\n";
const SCRIPT: &str = "#!/bin/sh\nset -e\n# Automatically added by dh_installsystemd/13.24\nif [ \"$1\" = \"configure\" ]; then\n\
    \tdeb-systemd-helper unmask 'ssh.service' >/dev/null || true\nfi\n# End automatically added section\nupdate-alternatives --install /a b /c 5\nexit 0\n";

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    first(|| {
        assert!(
            in_a_tree("/usr/bin/x", &elf::library()) > 2
                && in_a_tree("/usr/lib/systemd/system/x.service", UNIT.as_bytes()) > 0
        );
        assert!(
            ModuleInfo::parse(&elf::module()).is_ok_and(|info| info.depends.len() == 2 && info.symbols == ["thing"])
        );
        assert!(accounts::parse(SYSUSERS).is_ok_and(|lines| lines.len() == 4));
        assert_eq!(Install::parse(UNIT).wanted_by, ["multi-user.target"]);
        assert!(!Presets::parse(PRESET).enables("a@b.service"));
    });
    match kind % 7 {
        0 => drop(in_a_tree("/usr/bin/x", &raw_or_damaged(rest, &[elf::library()]))),
        1 => drop(in_a_tree("/usr/lib/systemd/system/x.service", &raw_or_damaged(rest, &[UNIT]))),
        2 => {
            if let Ok(info) = ModuleInfo::parse(&raw_or_damaged(rest, &[elf::module()])) {
                assert!(info.soft_before().iter().chain(&info.soft_after()).all(|name| !name.is_empty()));
            }
        }
        3 => text(&raw_or_damaged(rest, &[SYSUSERS]), |text| drop(accounts::parse(text))),
        4 => text(&raw_or_damaged(rest, &[UNIT]), |text| drop(Install::parse(text))),
        5 => text(&raw_or_damaged(rest, &[PRESET]), |text| {
            let presets = Presets::parse(text);
            assert_eq!(presets.enables("a@b.service"), presets.enables("a@b.service"));
        }),
        _ => text(&raw_or_damaged(rest, &[SCRIPT]), |text| {
            let package = Package {
                name: "demo".into(),
                version: "1".to_owned(),
                control: BTreeMap::new(),
                scripts: BTreeMap::from([("postinst".to_owned(), text.to_owned())]),
                control_files: BTreeMap::new(),
                entries: Vec::new(),
            };
            match scripts::check(&[package], &[]) {
                Ok(report) => assert_eq!(report.verdicts.len(), 1),
                Err(unknown) => assert!(unknown.to_string().contains("demo")),
            }
        }),
    }
});

fn text(bytes: &[u8], read: impl Fn(&str)) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        read(text);
    }
}

/// The number of findings.
fn in_a_tree(path: &str, bytes: &[u8]) -> usize {
    let mut tree = RootTree::new();
    let path = TreePath::new(path).expect("the path is good");
    tree.insert_file(path.clone(), 0o755, bytes, Origin::Recipe).expect("the tree is empty");
    let findings = closure::check(&tree).expect("memory can be read");
    assert!(findings.iter().all(|finding| finding.path == path));
    assert_eq!(closure::check(&tree).expect("memory can be read"), findings);
    findings.len()
}
