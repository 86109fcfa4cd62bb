//! Files that a user of the builder keeps, others' among them: recipes, locks, key files. A recipe means the same each time it is
//! read, and a lock is written as it was read. What is wrong with either can be shown.

#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use slipway_builder::keys::{self, Passphrase};
use slipway_builder::lock::Lock;
use slipway_builder::recipe::Recipe;
use slipway_fuzz::{first, raw_or_damaged};
use tempfile::TempDir;

const RECIPES: [&str; 2] = [
    include_str!("../../recipes/minimal.toml"),
    "[image]\nid = \"web\"\nversion = \"1\"\n\n[packages]\nadd = [\"nginx\"]\n\n[[file]]\npath = \"/etc/x\"\ncontent = \"y\"\nmode = \"0600\"\n\n\
     [[user]]\nname = \"ops\"\nuid = 1001\n\n[update]\nurls = [\"https://u.example/\"]\nchannel = \"stable\"\nroot = \"parts/base.toml\"\n\n\
     [[health.check]]\nname = \"web\"\nhttp = \"http://127.0.0.1/\"\nwithin = \"30s\"\n",
];
const LOCK: &str = "lock-version = 1\nrequest = \"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\"\nepoch = 1795000000\n\n\
    [users]\n_apt = 42\n\n[groups]\n\n[[package]]\nname = \"bash\"\nversion = \"5.2-1\"\narchitecture = \"amd64\"\nsource = \"bash\"\n\
    role = \"root\"\nrepository = \"debian\"\npath = \"pool/main/b/bash/bash.deb\"\nsize = 5\n\
    sha256 = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n";
/// What the first recipe extends.
const BASE: &str = include_str!("../../recipes/parts/base.toml");
/// The first test vector of RFC 8032.
const KEYS: [&str; 2] = [
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n",
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n",
];

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    // In memory, as nearly every machine has it.
    let folder = TempDir::new_in("/dev/shm").expect("there is a file system in memory");
    let path = folder.path().join("x.toml");
    fs::create_dir(folder.path().join("parts")).expect("the file system has room");
    fs::write(folder.path().join("parts/base.toml"), BASE).expect("the file system has room");
    let write = |bytes: Vec<u8>| fs::write(&path, bytes).expect("the file system has room");
    first(|| {
        for recipe in RECIPES {
            write(recipe.into());
            Recipe::load(&path).expect("the recipe is good");
        }
        write(LOCK.into());
        assert!(Lock::read(&path).expect("the lock is good").is_some());
        write(KEYS[0].into());
        let private = keys::read(&path, &|_| Ok(Passphrase::known(String::new()))).expect("the key is good");
        write(KEYS[1].into());
        assert_eq!(keys::read_public(&path).expect("the key is good").id(), private.id());
    });
    match kind % 3 {
        0 => {
            write(raw_or_damaged(rest, &RECIPES));
            match (Recipe::load(&path), Recipe::load(&path)) {
                (Ok(recipe), again) => assert_eq!(Some(recipe.digest), again.ok().map(|again| again.digest)),
                (Err(error), _) => {
                    for problem in error.problems() {
                        let place = problem.place.as_ref();
                        assert!(place.is_none_or(|place| place.text.get(place.span.clone()).is_some()), "{problem}");
                    }
                    let _ = error.to_string();
                }
            }
        }
        1 => {
            write(raw_or_damaged(rest, &[LOCK]));
            match Lock::read(&path) {
                Ok(lock) => {
                    let lock = lock.expect("it is there");
                    write(lock.to_text().expect("it can be written").into_bytes());
                    let again = Lock::read(&path).expect("it was written here").expect("it is there");
                    assert_eq!(again.to_text().ok(), lock.to_text().ok());
                }
                Err(error) => drop(error.to_string()),
            }
        }
        _ => {
            write(raw_or_damaged(rest, &KEYS));
            let read = keys::read(&path, &|_| Ok(Passphrase::known("word".to_owned())));
            let _ = (read.map(|key| key.id()), keys::read_public(&path).map(|key| key.id()));
        }
    }
});
