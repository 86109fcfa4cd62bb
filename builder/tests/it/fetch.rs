//! Downloads from servers that misbehave.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use slipway_builder::fetch::{Cache, Client, ClientOptions, FetchError, Wanted};
use slipway_builder::progress::{Event, Progress, Silent};
use slipway_images::digest::Digest;
use tempfile::TempDir;

use crate::server::{Reply, Server};

fn content() -> Vec<u8> {
    (0..300_000_u32).flat_map(|number| (number % 251).to_le_bytes()).collect()
}

fn impatient() -> Client {
    Client::new(ClientOptions { stall: Duration::from_millis(400), backoff: Duration::from_millis(5), attempts: 3 })
}

struct Case {
    folder: TempDir,
    cache: Cache,
}

impl Case {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        Self { folder, cache }
    }

    fn wanted(urls: &[String], bytes: &[u8]) -> Wanted {
        let size = Some(bytes.len() as u64);
        Wanted { urls: urls.to_vec(), digest: Digest::of(bytes), size, label: "thing 1.0".to_owned() }
    }

    fn fetch(&self, url: &str, bytes: &[u8]) -> Result<Vec<PathBuf>, FetchError> {
        self.cache.fetch_all(&impatient(), &[Self::wanted(&[url.to_owned()], bytes)], &Silent)
    }

    fn partial(&self, bytes: &[u8]) -> PathBuf {
        self.folder.path().join("partial").join(Digest::of(bytes).to_hex())
    }

    fn assert_nothing_kept(&self, bytes: &[u8]) {
        assert_eq!(self.cache.get(&Digest::of(bytes)), None);
        assert_eq!(fs::read_dir(self.folder.path().join("partial")).unwrap().count(), 0);
    }
}

#[test]
fn many_files_come_in_and_are_not_fetched_again() {
    let case = Case::new();
    let blobs: Vec<Vec<u8>> = (0..30_u8).map(|number| vec![number; 1000 + usize::from(number)]).collect();
    let files = blobs.iter().enumerate().map(|(at, blob)| (format!("/{at}"), blob.clone())).collect();
    let server = Server::of_files(files);
    let wanted: Vec<_> =
        blobs.iter().enumerate().map(|(at, blob)| Case::wanted(&[server.url(&format!("/{at}"))], blob)).collect();
    let watcher = Watcher::default();
    for _ in 0..2 {
        let paths = case.cache.fetch_all(&impatient(), &wanted, &watcher).unwrap();
        for (path, blob) in paths.iter().zip(&blobs) {
            assert_eq!(&fs::read(path).unwrap(), blob);
        }
    }
    assert_eq!(server.requests().len(), 30);
    let total: u64 = blobs.iter().map(|blob| blob.len() as u64).sum();
    assert_eq!(*watcher.0.lock().unwrap(), (Some(total), total));
}

/// The announced total, and the sum of what was told.
#[derive(Default)]
struct Watcher(Mutex<(Option<u64>, u64)>);

impl Progress for Watcher {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Start(_, total) => self.0.lock().unwrap().0 = total,
            Event::Advance(_, bytes) => self.0.lock().unwrap().1 += bytes,
            _ => {}
        }
    }
}

#[test]
fn a_cut_transfer_goes_on_where_it_stopped() {
    let (case, bytes) = (Case::new(), content());
    let server = Server::start({
        let bytes = bytes.clone();
        move |request| if request.nth < 4 { Reply::Cut(bytes.clone(), 200_000) } else { Reply::Ranged(bytes.clone()) }
    });
    case.fetch(&server.url("/a"), &bytes).unwrap();
    let from: Vec<_> = server.requests().into_iter().map(|request| request.from).collect();
    assert_eq!(from, [None, Some(200_000), Some(400_000), Some(600_000), Some(800_000)]);
    assert!(case.cache.verify(&Digest::of(&bytes)).unwrap());
}

#[test]
fn a_stalled_transfer_is_given_up_and_resumed() {
    let (case, bytes) = (Case::new(), content());
    let server = Server::start({
        let bytes = bytes.clone();
        move |request| if request.nth == 0 { Reply::Stalled(bytes.clone(), 1000) } else { Reply::Ranged(bytes.clone()) }
    });
    case.fetch(&server.url("/a"), &bytes).unwrap();
    assert_eq!(server.requests()[1].from, Some(1000));
}

#[test]
fn a_server_that_only_stalls_is_an_error_in_time() {
    let (case, bytes) = (Case::new(), content());
    let server = Server::start({
        let bytes = bytes.clone();
        move |_| Reply::Stalled(bytes.clone(), 0)
    });
    let error = case.fetch(&server.url("/a"), &bytes).unwrap_err();
    assert!(matches!(error, FetchError::Transfer { attempts: 3, .. }), "{error}");
    assert!(error.to_string().contains("timeout"), "{error}");
}

#[test]
fn what_an_earlier_process_left_is_used_or_thrown_away() {
    let (case, bytes) = (Case::new(), content());
    fs::write(case.partial(&bytes), &bytes[..5000]).unwrap();
    let server = Server::of_files([("/a".to_owned(), bytes.clone())].into());
    case.fetch(&server.url("/a"), &bytes).unwrap();
    assert_eq!(server.requests()[0].from, Some(5000));

    // Whole but for its name: the process was killed just before.
    case.cache.remove(&Digest::of(&bytes)).unwrap();
    fs::write(case.partial(&bytes), &bytes).unwrap();
    case.fetch(&server.url("/a"), &bytes).unwrap();
    assert_eq!(server.requests().len(), 1);

    // Damaged: resuming gives a wrong digest, so it is fetched again from the start.
    case.cache.remove(&Digest::of(&bytes)).unwrap();
    fs::write(case.partial(&bytes), vec![7; 5000]).unwrap();
    case.fetch(&server.url("/a"), &bytes).unwrap();
    assert_eq!(server.requests()[1].from, Some(5000));
    assert_eq!(server.requests()[2].from, None);
    assert!(case.cache.verify(&Digest::of(&bytes)).unwrap());
}

#[test]
fn a_server_without_ranges_is_asked_for_the_whole() {
    let (case, bytes) = (Case::new(), content());
    fs::write(case.partial(&bytes), &bytes[..5000]).unwrap();
    let server = Server::start({
        let bytes = bytes.clone();
        move |_| Reply::Whole(bytes.clone())
    });
    case.fetch(&server.url("/a"), &bytes).unwrap();
    assert!(case.cache.verify(&Digest::of(&bytes)).unwrap());
}

#[test]
fn a_range_that_was_not_asked_for_is_not_taken() {
    let (case, bytes) = (Case::new(), content());
    fs::write(case.partial(&bytes), &bytes[..5000]).unwrap();
    let server = Server::start({
        let bytes = bytes.clone();
        move |request| match request.from {
            Some(_) => Reply::Raw(
                [
                    format!("HTTP/1.1 206 P\r\nContent-Range: bytes 0-9/{}\r\nContent-Length: 10\r\n\r\n", bytes.len())
                        .as_bytes(),
                    &bytes[..10],
                ]
                .concat(),
            ),
            None => Reply::Whole(bytes.clone()),
        }
    });
    case.fetch(&server.url("/a"), &bytes).unwrap();
    assert!(case.cache.verify(&Digest::of(&bytes)).unwrap());
}

#[test]
fn wrong_bytes_are_refused_and_nothing_is_kept() {
    let (case, bytes) = (Case::new(), content());
    let mut tampered = bytes.clone();
    tampered[77] ^= 1;
    let found = Digest::of(&tampered);
    let server = Server::of_files([("/a".to_owned(), tampered)].into());
    let error = case.fetch(&server.url("/a"), &bytes).unwrap_err();
    assert!(error.to_string().starts_with("thing 1.0 from http://127.0.0.1"), "{error}");
    assert!(matches!(error, FetchError::WrongDigest { found: other, .. } if other == found), "{error}");
    assert_eq!(server.requests().len(), 1);
    case.assert_nothing_kept(&bytes);

    // The next place has the right ones.
    let good = Server::of_files([("/b".to_owned(), bytes.clone())].into());
    let wanted = [Case::wanted(&[server.url("/a"), good.url("/b")], &bytes)];
    case.cache.fetch_all(&impatient(), &wanted, &Silent).unwrap();
}

#[test]
fn a_wrong_length_is_refused_before_or_while_it_comes() {
    let (case, bytes) = (Case::new(), content());
    let mut longer = bytes.clone();
    longer.push(0);
    let announced = Server::of_files([("/a".to_owned(), longer.clone())].into());
    let error = case.fetch(&announced.url("/a"), &bytes).unwrap_err();
    assert!(matches!(error, FetchError::WrongSize { .. }), "{error}");
    let silent = Server::start(move |_| Reply::Raw([b"HTTP/1.0 200 OK\r\n\r\n", longer.as_slice()].concat()));
    let error = case.fetch(&silent.url("/a"), &bytes).unwrap_err();
    assert!(matches!(error, FetchError::WrongSize { .. }), "{error}");
    case.assert_nothing_kept(&bytes);
}

#[test]
fn passing_errors_are_tried_again_and_final_ones_are_not() {
    let (case, bytes) = (Case::new(), content());
    let server = Server::start({
        let bytes = bytes.clone();
        move |request| match (&*request.path, request.nth) {
            ("/busy", 0) => Reply::Status(503),
            ("/busy", 1) => Reply::Raw(Vec::new()),
            ("/busy", _) => Reply::Ranged(bytes.clone()),
            ("/down", _) => Reply::Status(502),
            _ => Reply::Status(404),
        }
    });
    let error = case.fetch(&server.url("/none"), &bytes).unwrap_err();
    assert!(matches!(error, FetchError::Status { status: 404, .. }), "{error}");
    let error = case.fetch(&server.url("/down"), &bytes).unwrap_err();
    assert!(error.to_string().ends_with("(3 attempts): the server answers 502"), "{error}");
    case.fetch(&server.url("/busy"), &bytes).unwrap();
    assert_eq!(server.requests().len(), 1 + 3 + 3);
    let nobody = case.fetch("http://127.0.0.1:1/x", b"other").unwrap_err();
    assert!(matches!(nobody, FetchError::Transfer { .. }), "{nobody}");
    let strange = case.fetch("ftp://127.0.0.1/x", b"other").unwrap_err();
    assert!(matches!(strange, FetchError::Scheme { .. }), "{strange}");
}

#[test]
fn files_are_fetched_by_url_too() {
    let (case, bytes) = (Case::new(), content());
    let path = case.folder.path().join("a file");
    fs::write(&path, &bytes).unwrap();
    fs::write(case.partial(&bytes), &bytes[..5000]).unwrap();
    case.fetch(&format!("file://{}", path.display()).replace(' ', "%20"), &bytes).unwrap();
    assert!(case.cache.verify(&Digest::of(&bytes)).unwrap());
    let error = case.fetch("file:///nowhere", b"other").unwrap_err();
    assert!(matches!(error, FetchError::Status { status: 404, .. }), "{error}");
}

#[test]
fn something_of_unknown_length_is_checked_by_its_digest() {
    let (case, bytes) = (Case::new(), content());
    let server = Server::start({
        let bytes = bytes.clone();
        move |request| if request.nth == 0 { Reply::Cut(bytes.clone(), 9999) } else { Reply::Ranged(bytes.clone()) }
    });
    let wanted = [Wanted { size: None, ..Case::wanted(&[server.url("/a")], &bytes) }];
    case.cache.fetch_all(&impatient(), &wanted, &Silent).unwrap();
    assert!(case.cache.verify(&Digest::of(&bytes)).unwrap());
}

#[test]
fn a_damaged_entry_is_noticed() {
    let (case, bytes) = (Case::new(), content());
    let digest = case.cache.insert(&bytes).unwrap();
    let path = case.cache.get_sized(&digest, Some(bytes.len() as u64)).unwrap();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(100).unwrap();
    assert_eq!(case.cache.get_sized(&digest, Some(bytes.len() as u64)), None);
    assert!(!path.exists());

    case.cache.insert(&bytes).unwrap();
    let mut tampered = bytes.clone();
    tampered[0] ^= 1;
    fs::write(&path, &tampered).unwrap();
    assert_eq!(case.cache.read_checked(&digest, u64::MAX).unwrap(), None);
    case.cache.insert(&bytes).unwrap();
    fs::write(&path, &tampered).unwrap();
    assert!(!case.cache.verify(&digest).unwrap());
    assert_eq!(case.cache.get(&digest), None);
}

#[test]
fn two_at_once_share_the_work_and_the_result() {
    let (case, bytes) = (Case::new(), content());
    let server = Server::start({
        let bytes = bytes.clone();
        move |_| {
            std::thread::sleep(Duration::from_millis(50));
            Reply::Ranged(bytes.clone())
        }
    });
    let url = server.url("/a");
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let cache = Cache::open(case.folder.path()).unwrap();
                let wanted = [Case::wanted(std::slice::from_ref(&url), &bytes)];
                let paths = cache.fetch_all(&impatient(), &wanted, &Silent).unwrap();
                assert_eq!(fs::read(&paths[0]).unwrap(), bytes);
            });
        }
    });
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_lock_whose_owner_sleeps_holds_nobody_up() {
    let (case, bytes) = (Case::new(), content());
    let held = OpenOptions::new().create(true).truncate(false).write(true).open(case.partial(&bytes)).unwrap();
    held.lock().unwrap();
    let server = Server::of_files([("/a".to_owned(), bytes.clone())].into());
    case.fetch(&server.url("/a"), &bytes).unwrap();
    assert!(case.cache.verify(&Digest::of(&bytes)).unwrap());
}

#[test]
fn a_cache_that_can_not_be_written_says_so() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = Cache::open(&file.join("cache")).unwrap_err();
    assert!(error.to_string().starts_with("the cache at ") && error.to_string().ends_with(" can't be made"), "{error}");
}
