//! The blocks tier against servers with faults. Whatever they do, what arrives is what was signed, or nothing.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use slipway_images::release::{ReleaseDocument, part_path};
use slipway_updater::net::{BaseUrl, Client, ClientOptions};
use slipway_updater::release::ReleaseSource as _;
use slipway_updater::source::{BlocksSource, Parts, Patience, Place, Traffic};

use super::publish::Repository;
use super::server::{Fault, Server};
use crate::level_p::world::Release;

const QUICK: Patience = Patience { first: Duration::from_millis(2), longest: Duration::from_millis(8), attempts: 6 };

pub fn client() -> Client {
    Client::new(ClientOptions { stall: Duration::from_millis(400), ..ClientOptions::default() })
}

pub fn url(server: &Server) -> Place {
    Place::Url(BaseUrl::new(&server.url()).unwrap())
}

pub fn repository(folder: &Path) -> (std::sync::Arc<Release>, ReleaseDocument) {
    let release = Release::new(2);
    let document = Repository::new(folder).add(&release);
    (release, document)
}

/// Blocks with their numbers, what was fetched for them, and which places were given up.
pub type Fetched = (Vec<(u64, Vec<u8>)>, Traffic, Vec<String>);

/// Everything that was asked for, in order of blocks; or why it can't be had.
fn fetched(document: &ReleaseDocument, places: Vec<Place>, wanted: &[Range<u64>]) -> Result<Fetched, String> {
    fetched_with(client(), document, places, wanted)
}

pub fn fetched_with(
    client: Client,
    document: &ReleaseDocument,
    places: Vec<Place>,
    wanted: &[Range<u64>],
) -> Result<Fetched, String> {
    let mut parts = Parts::new(places, client, QUICK);
    let mut source = BlocksSource::new(document, &mut parts);
    let mut blocks = Vec::new();
    let wants = |index| wanted.iter().any(|range| range.contains(&index));
    let mut take = |index: slipway_images::verity::BlockIndex, bytes: &[u8]| {
        if wants(index.0) {
            blocks.push((index.0, bytes.to_vec()));
        }
        Ok(())
    };
    source.blocks(wanted, &mut take).map_err(|error| error.to_string())?;
    let given_up = parts.given_up().collect();
    Ok((blocks, parts.traffic(), given_up))
}

pub fn expected(release: &Release, wanted: &[Range<u64>]) -> Vec<(u64, Vec<u8>)> {
    let block = |index: u64| {
        let start = usize::try_from(index).unwrap() * 4096;
        (index, release.root[start..start + 4096].to_vec())
    };
    wanted.iter().cloned().flatten().map(block).collect()
}

#[test]
fn only_the_frames_that_are_wanted_are_fetched_and_neighbours_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (release, document) = repository(folder.path());
    let server = Server::start(folder.path(), |_, _| Fault::None);
    let wanted = [3..4, 5..6, 30..32];
    let (blocks, traffic, _) = fetched(&document, vec![url(&server)], &wanted).unwrap();
    assert_eq!(blocks, expected(&release, &wanted));
    let ranges: Vec<_> = server.log().into_iter().filter_map(|request| request.range).collect();
    assert_eq!(ranges.len(), 2, "blocks 3 and 5 are in frames side by side: {ranges:?}");
    let frames = document.parts.blocks.frames.size;
    assert!(traffic.bytes < frames / 4, "{traffic:?} of {frames}");
    assert_eq!(traffic.requests, 3);
}

#[test]
fn tree_and_kernel_are_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let (release, document) = repository(folder.path());
    let mut parts = Parts::new(vec![Place::Folder(folder.path().to_owned())], client(), QUICK);
    let mut source = BlocksSource::new(&document, &mut parts);
    let (mut tree, mut kernel) = (Vec::new(), Vec::new());
    source.tree().unwrap().read_to_end(&mut tree).unwrap();
    source.kernel().unwrap().read_to_end(&mut kernel).unwrap();
    assert!(tree == release.tree_bytes && kernel == release.kernel);
}

#[test]
fn s20_what_passes_is_waited_for_and_nothing_comes_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (release, document) = repository(folder.path());
    let wanted = [0..20];
    // A single request for the index, then one range: the same faults hit the second request and its retries.
    let faults: [(&str, fn(usize) -> Fault); 5] = [
        ("cut", |number| if number == 1 { Fault::Cut(20_000) } else { Fault::None }),
        ("cut at the head", |number| if number == 1 { Fault::Cut(0) } else { Fault::None }),
        ("stall", |number| if number == 1 { Fault::Stall(30_000) } else { Fault::None }),
        ("500s", |number| if (1..4).contains(&number) { Fault::Status(503) } else { Fault::None }),
        ("cut again and again", |number| if (1..5).contains(&number) { Fault::Cut(9_000) } else { Fault::None }),
    ];
    for (name, fault) in faults {
        let server = Server::start(folder.path(), move |_, number| fault(number));
        let (blocks, traffic, given_up) =
            fetched(&document, vec![url(&server)], &wanted).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(blocks, expected(&release, &wanted), "{name}");
        assert!(given_up.is_empty(), "{name}: {given_up:?}");
        let whole = document.parts.blocks.index.size
            + server.log()[1].range.as_ref().map_or(0, |range| range.end - range.start);
        assert_eq!(traffic.bytes, whole, "{name}: what came is not asked for again");
    }
}

#[test]
fn s20_a_server_that_is_wrong_is_left_for_the_next_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let (release, document) = repository(folder.path());
    let wanted = [10..30];
    let faults = [
        (Fault::Whole, "answers a range with the whole file"),
        (Fault::Shifted, "the server sends bytes from"),
        (Fault::Unnamed, "the server sends a part of the file and doesn't say which"),
        (Fault::Mangled, "sends other bytes than were signed"),
        (Fault::Flipped(50_000), "sends other bytes than were signed"),
        (Fault::Status(404), ""),
        (Fault::Status(401), ""),
    ];
    for (fault, expected_words) in faults {
        let frames = part_path(&document.parts.blocks.frames.sha256);
        let rule = fault.clone();
        let wrong = move |path: &str, _| if path == frames { rule.clone() } else { Fault::None };
        let (bad, good) = (Server::start(folder.path(), wrong), Server::start(folder.path(), |_, _| Fault::None));
        let (blocks, _, given_up) = fetched(&document, vec![url(&bad), url(&good)], &wanted).unwrap();
        assert_eq!(blocks, expected(&release, &wanted), "{fault:?}");
        let words = given_up.join("; ");
        assert!(words.contains(expected_words) && words.is_empty() == expected_words.is_empty(), "{fault:?}: {words}");
        // Alone, it leads to an error that says what it does.
        let error = fetched(&document, vec![url(&bad)], &wanted).unwrap_err();
        let said = if expected_words.is_empty() { &bad.url() } else { expected_words };
        assert!(error.contains(said), "{fault:?}: {error}");
    }
}

#[test]
fn s20_content_that_changes_midway_is_left_for_the_next_place() {
    let (folder, changing) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (release, document) = repository(folder.path());
    let frames = part_path(&document.parts.blocks.frames.sha256);
    let path = changing.path().join(&frames);
    let same_length = |bytes: &mut Vec<u8>| bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
    let longer = |bytes: &mut Vec<u8>| bytes.push(0);
    let changes: [(fn(&mut Vec<u8>), &str); 2] =
        [(same_length, "sends other bytes than were signed"), (longer, "were signed")];
    for (change, said) in changes {
        repository(changing.path());
        let file = path.clone();
        // The index, a range, and then the file is another one.
        let rule = move |_: &str, number| {
            if number == 2 {
                let mut bytes = fs::read(&file).unwrap();
                change(&mut bytes);
                fs::write(&file, bytes).unwrap();
            }
            Fault::None
        };
        let wanted = [3..4, 30..32];
        let (bad, good) =
            (Server::start(changing.path(), rule.clone()), Server::start(folder.path(), |_, _| Fault::None));
        let (blocks, ..) = fetched(&document, vec![url(&bad), url(&good)], &wanted).unwrap();
        assert_eq!(blocks, expected(&release, &wanted), "{said}");
        let asked = |server: &Server| server.log().iter().filter(|request| request.path == frames).count();
        assert_eq!((asked(&bad), asked(&good)), (2, 1), "{said}");
        repository(changing.path());
        let alone = Server::start(changing.path(), rule);
        let error = fetched(&document, vec![url(&alone)], &wanted).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn s20_a_body_that_trickles_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), [7; 150]).unwrap();
    let server = Server::start(folder.path(), |_, _| Fault::Trickle(Duration::from_millis(10)));
    let read = |least_rate| {
        let options = ClientOptions {
            stall: Duration::from_secs(10),
            least_rate,
            good_rate: 0,
            grace: Duration::from_millis(500),
        };
        let answer = Client::new(options).get(&format!("{}file", server.url()), None).unwrap().unwrap();
        let mut bytes = Vec::new();
        ({ answer }.body.read_to_end(&mut bytes), bytes.len())
    };
    let (slow, count) = read(10_000);
    assert!(slow.as_ref().is_err_and(|error| error.kind() == ErrorKind::TimedOut), "{slow:?}");
    // After its grace, and long before its end.
    assert!((1..150).contains(&count), "{count}");
    assert_eq!(read(10).1, 150);
}

#[test]
fn s20_a_part_as_a_whole_goes_on_at_a_server_without_ranges() {
    let folder = tempfile::tempdir().unwrap();
    let (release, document) = repository(folder.path());
    let server = Server::start(folder.path(), |_, number| if number == 0 { Fault::Cut(900) } else { Fault::Whole });
    let mut parts = Parts::new(vec![url(&server)], client(), QUICK);
    let mut tree = Vec::new();
    BlocksSource::new(&document, &mut parts).tree().unwrap().read_to_end(&mut tree).unwrap();
    assert_eq!(tree, release.tree_bytes);
    assert_eq!(server.log().len(), 2);
}

#[test]
fn redirects_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (release, document) = repository(folder.path());
    let behind = Server::start(folder.path(), |_, _| Fault::None);
    let base = behind.url();
    let front = Server::start(folder.path(), move |_, _| Fault::Redirect(base.clone()));
    let (blocks, ..) = fetched(&document, vec![url(&front)], &[4..9]).unwrap();
    assert_eq!(blocks, expected(&release, &[4..9]));
}

#[test]
fn s20_what_never_passes_ends_with_every_place_named() {
    let folder = tempfile::tempdir().unwrap();
    let (_, document) = repository(folder.path());
    let down = Server::start(folder.path(), |_, _| Fault::Status(500));
    let gone = Place::Folder(folder.path().join("nowhere"));
    let error = fetched(&document, vec![url(&down), gone], &[0..1]).unwrap_err();
    assert!(error.contains("answers 500") && error.contains("nowhere doesn't have it"), "{error}");
    assert!(down.log().len() > 3, "it is asked again, some times");
}
