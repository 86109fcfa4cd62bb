//! What is published, carried elsewhere.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use slipway_builder::progress::Silent;
use slipway_builder::release::{
    Exported, Published, ReleaseError, Repository, Roots, export_folder, export_tar, verify,
};
use slipway_trust::tuf::sign::TopRole;

use super::site::{Host, NOW, Site, files, write_files};

fn export(site: &Site, repository: &Repository, to: &str) -> Result<Exported, ReleaseError> {
    let roots = Roots::of_repository(repository).unwrap();
    let published = Published::read(repository, roots.all()).unwrap();
    if to.contains(".tar") {
        return export_tar(repository, &published, roots.all(), &site.path(to), &Silent);
    }
    let mut to = Repository::at(&site.path(to)).lock(|| ()).unwrap();
    export_folder(repository, &published, roots.all(), &mut to, &Silent)
}

#[test]
fn an_export_is_a_repository_of_its_own() {
    let site = Site::new();
    site.add(1);
    let export = |to: &str| export(&site, &site.repo(), to).unwrap();
    let stick = || verify(&Repository::at(&site.path("stick")), &site.root(), NOW.after(100), &Silent).unwrap();
    assert!(export("stick").copied > 100_000);
    assert_eq!(stick().problems, [""; 0]);
    site.add(2);
    assert_eq!(Host::new(&site.root()).newest(&site.path("stick")), "1");
    let second = export("stick");
    assert!(second.copied > 0 && second.copied < second.bytes);
    assert_eq!((stick().releases.len(), stick().patches, stick().problems), (2, 1, Vec::new()));
    assert_eq!(export("stick").copied, 0);

    export("one.tar");
    export("two.tar");
    let tar = fs::read(site.path("one.tar")).unwrap();
    assert!(tar == fs::read(site.path("two.tar")).unwrap());
    tar::Archive::new(&tar[..]).unpack(site.path("unpacked")).unwrap();
    // Metadata that nothing refers to stays behind.
    let (unpacked, stick) = (files(&site.path("unpacked")), files(&site.path("stick")));
    assert!(unpacked.iter().all(|(name, bytes)| stick.get(name) == Some(bytes)));
    let unpacked = Repository::at(&site.path("unpacked"));
    assert_eq!(verify(&unpacked, &site.root(), NOW.after(100), &Silent).unwrap().problems, [""; 0]);
}

#[test]
fn an_older_state_is_not_exported_onto_a_newer_one() {
    let site = Site::new();
    site.add(1);
    write_files(&site.path("backup"), &files(&site.path("repo")));
    let backup = Repository::at(&site.path("backup"));
    let refused = || {
        let before = files(&site.path("stick"));
        let refused = export(&site, &backup, "stick").unwrap_err();
        assert!(matches!(refused, ReleaseError::Newer(_)), "{refused}");
        assert!(files(&site.path("stick")) == before);
    };
    site.refresh(NOW.after(10)).unwrap();
    export(&site, &site.repo(), "stick").unwrap();
    refused();
    let (status, text) = site.release(&["export", "--repo", "backup", "--to", "stick"]);
    assert!(status == Some(7) && text.contains("stick holds something newer"), "{text}");
    // With keys that the older state doesn't know.
    site.rotate(&[TopRole::Timestamp]);
    site.refresh(NOW.after(20)).unwrap();
    export(&site, &site.repo(), "stick").unwrap();
    refused();
    // The other way round, with whatever keys, it goes.
    export(&site, &backup, "other").unwrap();
    export(&site, &site.repo(), "other").unwrap();
    assert_eq!(Host::new(&site.root()).newest(&site.path("other")), "1");
}

/// Another export may have had the folder, and something newer for it.
#[test]
fn an_export_takes_what_there_is_when_it_is_its_turn() {
    let site = Site::new();
    site.add(1);
    let locked = Repository::at(&site.path("stick")).lock(|| ()).unwrap();
    let mut slipway = site.slipway(&["release", "export", "--repo", "repo", "--to", "stick"]);
    let mut slipway = slipway.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut told = BufReader::new(slipway.stderr.take().unwrap()).lines();
    assert!(told.any(|line| line.unwrap().contains("waiting for it")));
    site.add(2);
    drop(locked);
    assert!(slipway.wait().unwrap().success());
    assert_eq!(Host::new(&site.root()).newest(&site.path("stick")), "2");
}
