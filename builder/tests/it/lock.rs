//! Locking recipes against an archive that is right, and against spoiled ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use slipway_builder::apt::{Mirrors, RepositoryError};
use slipway_builder::fault::Fault;
use slipway_builder::fetch::{Cache, Client, ClientOptions, FetchError};
use slipway_builder::lock::{Accounts, Lock, LockError, Role, Sources, Update, changes, make, path_of};
use slipway_builder::progress::Silent;
use slipway_builder::recipe::Recipe;
use slipway_trust::time::UnixTime;
use tempfile::TempDir;

use crate::repository::{Repository, Signer, deb};
use crate::server::Server;

const PACKAGES: &[(&str, &str, &str)] = &[
    ("base", "1.0", ""),
    ("base", "1.1", ""),
    ("web", "2.0-1", "Depends: base (>= 1), dpkg\n"),
    ("dpkg", "1", ""),
    ("linux", "6.12", ""),
    ("loader", "257", "Depends: nowhere\n"),
    ("busy", "1", ""),
    ("hostile", "1", "Conflicts: web\n"),
];

struct Case {
    folder: TempDir,
    signer: Signer,
    repository: Repository,
}

impl Case {
    fn new() -> Self {
        let (signer, mut repository) = (Signer::new(), Repository::new(PACKAGES));
        repository.sign("test", "Valid-Until: Wed, 08 Jan 2025 00:00:00 UTC\n", &signer);
        Self { folder: TempDir::new().unwrap(), signer, repository }
    }

    fn recipe(&self, add: &str, more: &str) -> Recipe {
        let text = format!(
            "[image]\nid = \"test\"\nversion = \"1\"\n[archive]\nsuites = [\"test\"]\ncomponents = [\"main\"]\n\
             [kernel]\npackage = \"linux\"\n[boot]\npackage = \"loader\"\n[packages]\nadd = {add}\ndrop = [\"dpkg\"]\n{more}"
        );
        let path = self.folder.path().join("test.toml");
        fs::write(&path, text).unwrap();
        Recipe::load(&path).unwrap()
    }

    fn lock_of(&self, recipe: &Recipe, previous: Option<&Lock>, update: &Update) -> Result<Lock, LockError> {
        let server = Server::of_files(self.repository.files.clone());
        self.lock_at(recipe, previous, update, &server)
    }

    fn lock_at(
        &self,
        recipe: &Recipe,
        previous: Option<&Lock>,
        update: &Update,
        server: &Server,
    ) -> Result<Lock, LockError> {
        let apt = PathBuf::from("/nonexistent");
        let sources = Sources {
            mirrors: &Mirrors::choose(Some(&server.url("/debian")), None, &apt),
            cache: &Cache::open(&self.folder.path().join("cache")).unwrap(),
            client: &client(),
            debian_keys: Some(self.signer.certificates()),
            now: UnixTime::from_civil((2025, 1, 2), (0, 0, 0)).unwrap(),
        };
        let mut assign = |lock: &Lock| {
            let mut users = lock.users.clone();
            users.entry("web".to_owned()).or_insert(990);
            Ok(Accounts { users, groups: BTreeMap::new() })
        };
        make(recipe, previous, update, &sources, &mut assign, &Silent)
    }
}

fn client() -> Client {
    Client::new(ClientOptions { stall: Duration::from_secs(2), backoff: Duration::from_millis(5), attempts: 2 })
}

fn shown(lock: &Lock) -> Vec<String> {
    let show = |package: &slipway_builder::lock::LockedPackage| {
        format!("{} {} {:?}", package.name, package.version, package.role)
    };
    lock.packages.iter().map(show).collect()
}

#[test]
fn a_lock_names_every_package_and_is_the_same_each_time() {
    let case = Case::new();
    let recipe = case.recipe("[\"web\"]", "");
    let lock = case.lock_of(&recipe, None, &Update::Keep).unwrap();
    assert_eq!(shown(&lock), ["base 1.1 Root", "linux 6.12 Root", "loader 257 Boot", "web 2.0-1 Root"]);
    assert_eq!(lock.epoch, 1_735_689_600);
    assert_eq!(lock.users["web"], 990);
    let path = path_of(&recipe.path);
    lock.write(&path).unwrap();
    assert_eq!(Lock::load(&recipe).unwrap(), lock);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("[[package]]\nname = \"base\"\nversion = \"1.1\"\n"), "{text}");
    assert!(!text.contains("127.0.0.1"), "{text}");
    assert_eq!(case.lock_of(&recipe, Some(&lock), &Update::Keep).unwrap().to_text().unwrap(), text);
    assert_eq!(fs::read_dir(case.folder.path()).unwrap().count(), 3, "a temporary file is left");

    // What it names can be fetched.
    let server = Server::of_files(case.repository.files.clone());
    let mirrors = Mirrors::choose(Some(&server.url("/debian")), None, &PathBuf::from("/nonexistent"));
    let wanted = lock.wanted(&mirrors, case.folder.path()).unwrap();
    Cache::open(&case.folder.path().join("cache")).unwrap().fetch_all(&client(), &wanted, &Silent).unwrap();
}

#[test]
fn versions_stay_until_an_update_is_asked_for() {
    let mut case = Case::new();
    let recipe = case.recipe("[\"web\"]", "");
    let old = case.lock_of(&recipe, None, &Update::Keep).unwrap();
    let packages: Vec<_> = [PACKAGES, &[("base", "1.2", ""), ("web", "2.0-2", "Depends: base, busy\n")]].concat();
    case.repository = Repository::new(&packages);
    case.repository.sign("test", "", &case.signer);
    assert_eq!(shown(&case.lock_of(&recipe, Some(&old), &Update::Keep).unwrap()), shown(&old));
    let some = case.lock_of(&recipe, Some(&old), &Update::Packages(vec!["base".to_owned()])).unwrap();
    assert_eq!(shown(&some), ["base 1.2 Root", "linux 6.12 Root", "loader 257 Boot", "web 2.0-1 Root"]);
    let all = case.lock_of(&recipe, Some(&old), &Update::All).unwrap();
    let words: Vec<_> = changes(&old, &all).iter().map(ToString::to_string).collect();
    assert_eq!(words, ["changed  base 1.1 → 1.2", "added    busy 1", "changed  web 2.0-1 → 2.0-2"]);
    assert_eq!(all.users["web"], 990);
    let error = case.lock_of(&recipe, Some(&old), &Update::Packages(vec!["vim".to_owned()])).unwrap_err();
    assert_eq!(error.to_string(), "`vim` can't be updated: it is not in the lock");
}

#[test]
fn a_lock_that_does_not_fit_says_why() {
    let case = Case::new();
    let recipe = case.recipe("[\"web\"]", "");
    let error = Lock::load(&recipe).unwrap_err().to_string();
    assert!(error.starts_with("there is no lock ") && error.contains("run `slipway lock "), "{error}");
    let path = path_of(&recipe.path);
    case.lock_of(&recipe, None, &Update::Keep).unwrap().write(&path).unwrap();

    let error = Lock::load(&case.recipe("[\"web\", \"busy\"]", "")).unwrap_err().to_string();
    assert!(error.contains("does not match the recipe (it lacks `busy`): run `slipway lock "), "{error}");
    let same = case.recipe("[\"web\", \"web\"]", "[sysctl]\n\"a.b\" = \"1\"\n");
    Lock::load(&same).unwrap();

    let text = fs::read_to_string(&path).unwrap();
    for (from, to, words) in [
        ("lock-version = 1", "lock-version = 2", "this slipway reads locks of version 1, not 2"),
        ("lock-version = 1", "lock-version = \"x", "invalid basic string"),
        ("name = \"web\"", "name = \"aaa\"", "`aaa` is not in its place"),
        ("name = \"linux\"", "name = \"base\"", "`base` is there twice"),
        ("version = \"1.1\"", "version = \"1_1\"", "1_1"),
        ("path = \"pool/main/web", "path = \"pool/../web", "is no path within an archive"),
        ("role = \"boot\"", "role = \"boots\"", "unknown variant `boots`"),
        ("name = \"web\"", "<<<<<<< ours\nname = \"web\"", ""),
    ] {
        let line = text.lines().position(|line| line.starts_with(from)).unwrap() + 1;
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let error = Lock::load(&recipe).unwrap_err();
        let LockError::Broken { problem, .. } = &error else { panic!("{to}: {error}") };
        let place = problem.place.as_ref().unwrap();
        assert!(problem.message.contains(words), "{to}: {error}");
        assert_eq!((place.file.as_path(), place.line_and_column().0), (path.as_path(), line), "{to}: {error}");
        let help = problem.help.as_ref().unwrap();
        assert_eq!(help.contains("mark of a merge"), to.starts_with('<'), "{help}");
        assert!(help.contains("run `slipway lock`"), "{help}");
    }
}

#[test]
fn what_can_not_be_solved_is_said() {
    let case = Case::new();
    let error = |add| case.lock_of(&case.recipe(add, ""), None, &Update::Keep).unwrap_err().to_string();
    let unknown = error("[\"webb\"]");
    assert!(unknown.contains("no package `webb`") && unknown.contains("did you mean `web`?"), "{unknown}");
    let conflict = error("[\"web\", \"hostile\"]");
    assert!(conflict.contains("hostile (asked for)") && conflict.contains("conflicts with"), "{conflict}");
}

#[test]
fn spoiled_indexes_are_refused() {
    let case = |spoil: &dyn Fn(&mut Case)| {
        let mut case = Case::new();
        spoil(&mut case);
        let error = case.lock_of(&case.recipe("[\"web\"]", ""), None, &Update::Keep).unwrap_err();
        match error {
            LockError::Archive(error) => {
                assert_eq!(Fault::from(&error), Fault::Untrusted, "{error}");
                error
            }
            other => panic!("{other}"),
        }
    };
    let release = "/debian/dists/test/InRelease";
    let list = "/debian/dists/test/main/binary-amd64/Packages.xz";

    let error = case(&|case| {
        let text = String::from_utf8(case.repository.files[release].clone()).unwrap();
        case.repository.files.insert(release.to_owned(), text.replace("Suite: test", "Suite: best").into_bytes());
    });
    assert!(matches!(error, RepositoryError::Signature { .. }), "{error}");

    let error = case(&|case| case.repository.sign("test", "", &Signer::new()));
    assert!(matches!(error, RepositoryError::Signature { .. }), "{error}");

    let error =
        case(&|case| case.repository.sign("test", "Valid-Until: Thu, 02 Jan 2025 00:00:00 UTC\n", &case.signer));
    assert!(matches!(error, RepositoryError::Release { .. }), "{error}");

    // Another suite's index, properly signed.
    let error = case(&|case| {
        case.repository.sign("other", "", &case.signer);
        let other = case.repository.files["/debian/dists/other/InRelease"].clone();
        case.repository.files.insert(release.to_owned(), other);
    });
    assert!(matches!(error, RepositoryError::Release { .. }), "{error}");

    let error = case(&|case| {
        case.repository.files.get_mut(list).unwrap()[40] ^= 1;
    });
    assert!(matches!(error, RepositoryError::Fetch(FetchError::WrongDigest { .. })), "{error}");

    let error = case(&|case| case.repository.files.get_mut(list).unwrap().push(0));
    assert!(matches!(error, RepositoryError::Fetch(FetchError::WrongSize { .. })), "{error}");
}

#[test]
fn a_tampered_package_is_refused_and_not_kept() {
    let mut case = Case::new();
    let recipe = case.recipe("[\"web\"]", "");
    let lock = case.lock_of(&recipe, None, &Update::Keep).unwrap();
    case.repository.files.get_mut("/debian/pool/main/web_2.0-1_amd64.deb").unwrap()[100] ^= 1;
    let server = Server::of_files(case.repository.files.clone());
    let mirrors = Mirrors::choose(Some(&server.url("/debian")), None, &PathBuf::from("/nonexistent"));
    let cache = Cache::open(&case.folder.path().join("cache")).unwrap();
    let wanted = lock.wanted(&mirrors, case.folder.path()).unwrap();
    let error = cache.fetch_all(&client(), &wanted, &Silent).unwrap_err();
    assert!(error.to_string().starts_with("web 2.0-1 from http://"), "{error}");
    assert!(matches!(error, FetchError::WrongDigest { .. }));
    let web = lock.packages.iter().find(|package| package.name == "web").unwrap();
    assert_eq!(cache.get(&web.sha256), None);
}

#[test]
fn local_packages_further_repositories_and_containers() {
    let case = Case::new();
    fs::create_dir(case.folder.path().join("debs")).unwrap();
    let local = deb(&case.folder.path().join("debs"), "ours", "1:0.1", "Depends: base, theirs\n");
    fs::rename(&local, case.folder.path().join("debs/ours.deb")).unwrap();
    let theirs = Signer::new();
    fs::write(case.folder.path().join("theirs.asc"), theirs.certificate()).unwrap();
    let mut other = Repository::new(&[("theirs", "3", ""), ("base", "0.5", "")]);
    other.sign("theirs", "", &theirs);
    let other = Server::of_files(other.files);
    let more = format!(
        "debs = [\"debs/ours.deb\"]\n[[repository]]\nname = \"theirs\"\nurl = \"{}\"\nsuite = \"theirs\"\ncomponents = [\"main\"]\nkey = \"theirs.asc\"\n\
         [[container]]\nname = \"box\"\npackage = \"busy\"\n",
        other.url("/debian")
    );
    let recipe = case.recipe("[\"theirs\"]", &more);
    let lock = case.lock_of(&recipe, None, &Update::Keep).unwrap();
    assert_eq!(
        shown(&lock),
        ["base 1.1 Root", "busy 1 Container", "linux 6.12 Root", "loader 257 Boot", "ours 1:0.1 Root", "theirs 3 Root"]
    );
    let ours = lock.packages.iter().find(|package| package.name == "ours").unwrap();
    assert_eq!((ours.repository.as_str(), ours.path.as_str(), ours.role), ("local", "debs/ours.deb", Role::Root));
    let wanted = lock.wanted(&Mirrors::default(), case.folder.path());
    assert!(wanted.is_err(), "no mirror is known");
    let mirrors = Mirrors::choose(Some("http://127.0.0.1:1/debian"), None, &PathBuf::from("/nonexistent"))
        .with_repositories(&recipe.repositories);
    let wanted = lock.wanted(&mirrors, case.folder.path()).unwrap();
    let wanted: Vec<_> = wanted.into_iter().filter(|wanted| !wanted.urls[0].contains("127.0.0.1:1/")).collect();
    assert_eq!(wanted.len(), 2);
    Cache::open(&case.folder.path().join("cache")).unwrap().fetch_all(&client(), &wanted, &Silent).unwrap();

    // The key of one repository is worth nothing for another.
    fs::write(case.folder.path().join("theirs.asc"), case.signer.certificate()).unwrap();
    let error = case.lock_of(&recipe, None, &Update::Keep).unwrap_err();
    assert!(matches!(error, LockError::Archive(RepositoryError::Signature { .. })), "{error}");
}
