//! A repository in several places, one of which fails: the others help, and nobody is blamed for what another did.

use std::path::Path;
use std::time::Duration;

use slipway_images::release::{ReleaseDocument, part_path};
use slipway_updater::machine::State;
use slipway_updater::net::{Client, ClientOptions};

use super::run::{World, boots_and_commits, settled, update};
use super::server::{Fault, Server};
use super::source::{client, expected, fetched_with, repository, url};
use crate::level_p::world::{Release, agent};

/// Serves a folder whose file of frames has this fault.
fn with_frames(folder: &Path, document: &ReleaseDocument, fault: Fault) -> Server {
    let frames = part_path(&document.parts.blocks.frames.sha256);
    Server::start(folder, move |path, _| if path == frames { fault.clone() } else { Fault::None })
}

#[test]
fn s20_nobody_is_blamed_for_what_another_place_sent() {
    let folder = tempfile::tempdir().unwrap();
    let (release, document) = repository(folder.path());
    // The first sends the beginning of a frame and breaks off, the second the rest: one of the two was wrong.
    let (wrong_begin, wrong_end) =
        ([Fault::Spoilt(100), Fault::None, Fault::None], [Fault::Cut(100), Fault::Flipped(9), Fault::None]);
    for (faults, blamed) in [(wrong_begin, None), (wrong_end, Some(1))] {
        let servers = faults.map(|fault| with_frames(folder.path(), &document, fault));
        let places = servers.iter().map(url).collect();
        let (blocks, _, given_up) = fetched_with(client(), &document, places, &[10..30]).unwrap();
        assert_eq!(blocks, expected(&release, &[10..30]));
        let words = given_up.join("; ");
        for (number, server) in servers.iter().enumerate() {
            assert_eq!(words.contains(&server.url()), blamed == Some(number), "{number}: {words}");
        }
    }
    // Two that break off in each frame, or after it, and never send what was signed: it ends, and both are named.
    for (cut, requests) in [(5_000, 9), (70_000, 3)] {
        let bad = [1, 2].map(|_| with_frames(folder.path(), &document, Fault::Spoilt(cut)));
        let error = fetched_with(client(), &document, bad.iter().map(url).collect(), &[10..30]).unwrap_err();
        assert!(bad.iter().all(|server| error.contains(&server.url())), "{error}");
        // The index; a frame from both, as often as there are places and once more, and from the other alone. Or from each.
        assert_eq!(bad.iter().map(|server| server.log().len()).sum::<usize>(), requests);
    }
}

#[test]
fn s20_a_slow_place_is_left_for_another_and_will_do_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (release, document) = repository(folder.path());
    let options =
        ClientOptions { least_rate: 1, good_rate: 100_000, grace: Duration::from_secs(1), ..ClientOptions::default() };
    let slow = || with_frames(folder.path(), &document, Fault::Trickle(Duration::from_micros(500)));
    let (first, good) = (slow(), Server::start(folder.path(), |_, _| Fault::None));
    let places = vec![url(&first), url(&good)];
    let (blocks, traffic, given_up) = fetched_with(Client::new(options), &document, places, &[0..20]).unwrap();
    assert_eq!((blocks, given_up.len()), (expected(&release, &[0..20]), 0));
    let frames = part_path(&document.parts.blocks.frames.sha256);
    let asked = |server: &Server| server.log().into_iter().filter(|request| request.path == frames).collect::<Vec<_>>();
    let (began, went_on) = (&asked(&first)[0], &asked(&good)[0]);
    let (whole, rest) = (began.range.clone().unwrap(), went_on.range.clone().unwrap());
    assert!(whole.start < rest.start && whole.end == rest.end, "{whole:?} {rest:?}");
    assert_eq!(traffic.bytes, document.parts.blocks.index.size + whole.end - whole.start, "nothing comes twice");
    let alone = slow();
    let (blocks, ..) = fetched_with(Client::new(options), &document, vec![url(&alone)], &[0..1]).unwrap();
    assert_eq!(blocks, expected(&release, &[0..1]));
    assert_eq!(asked(&alone).len(), 1);
}

#[test]
fn s20_a_document_comes_from_wherever_it_can_be_had() {
    let (first, second) = (Release::new(1), Release::new(2));
    let world = World::with([&first, &second]);
    for fault in [Fault::Status(404), Fault::Status(500), Fault::Flipped(9), Fault::Cut(9)] {
        let root = tempfile::tempdir().unwrap();
        let disk = settled(&first);
        let (mut agent, _) = agent(&disk, first.hash()).unwrap();
        let rule = fault.clone();
        let partly = world.serve(move |path, _| if path.starts_with("targets/") { rule.clone() } else { Fault::None });
        let good = world.serve(|_, _| Fault::None);
        let updater = world.updater_at(root.path(), [url(&partly), url(&good)]);
        update(&updater, &mut agent).unwrap().unwrap();
        assert_eq!(agent.state(), State::Armed, "{fault:?}");
        assert!(good.log().iter().any(|request| request.path.starts_with("targets/")), "{fault:?}");
        agent.restart().unwrap();
        boots_and_commits(&disk, &second);
    }
}
