#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::*;

const OLD: &str = "hostname = \"old\"\n";
const NEW: &str = "# better\nhostname = \"new\"\n";

/// A folder that knows what of it a power cut leaves. A file's content and the names in the folder are on the disk only when they
/// were synced; whatever wasn't may be there, or not, or in part.
#[derive(Clone, Debug, Default)]
struct Model {
    files: Vec<FileModel>,
    names: BTreeMap<String, usize>,
    /// Names on the disk.
    safe: BTreeMap<String, usize>,
    /// Changes of names since then.
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
struct FileModel {
    content: Vec<u8>,
    synced: bool,
}

#[derive(Clone, Debug)]
enum Change {
    Name(String, usize),
    Rename(String, String),
    Remove(String),
}

impl Folder for RefCell<Model> {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.borrow().names.keys().cloned().collect())
    }

    fn read(&self, name: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let model = self.borrow();
        let content = model.names.get(name).map(|&file| model.files[file].content.clone());
        Ok(content.map(|content| content.into_iter().take(limit).collect()))
    }

    fn carry_out(&mut self, effect: &Effect) -> io::Result<()> {
        let model = self.get_mut();
        match effect {
            Effect::Write { name, content } => {
                let file = model.files.len();
                model.files.push(FileModel { content: content.clone(), synced: false });
                model.change(Change::Name(name.clone(), file));
            }
            Effect::Sync { name } => model.files[model.names[name]].synced = true,
            Effect::Rename { from, to } => model.change(Change::Rename(from.clone(), to.clone())),
            Effect::Remove { name } => model.change(Change::Remove(name.clone())),
            Effect::SyncFolder => {
                model.safe = model.names.clone();
                model.pending.clear();
            }
        }
        Ok(())
    }
}

impl Model {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.pending.push(change);
    }

    /// Every state that a power cut can leave now.
    fn after_power_cut(&self) -> Vec<Self> {
        let mut states = Vec::new();
        for lost in 0..1_usize << self.pending.len() {
            let mut names = self.safe.clone();
            for (_, change) in self.pending.iter().enumerate().filter(|(index, _)| lost >> index & 1 == 0) {
                change.apply(&mut names);
            }
            let unsynced: Vec<usize> = names.values().copied().filter(|&file| !self.files[file].synced).collect();
            for kept in 0..3_usize.pow(u32::try_from(unsynced.len()).unwrap()) {
                let mut files = self.files.clone();
                for (digit, &file) in unsynced.iter().enumerate() {
                    let part = kept / 3_usize.pow(u32::try_from(digit).unwrap()) % 3;
                    let len = files[file].content.len();
                    files[file].content.truncate([0, len / 2, len][part]);
                }
                for file in &mut files {
                    file.synced = true;
                }
                states.push(Self { files, names: names.clone(), safe: names.clone(), pending: Vec::new() });
            }
        }
        states
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Name(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

type ModelStore = Store<RefCell<Model>>;

fn at(secs: u64) -> UnixTime {
    UnixTime::from_secs(secs)
}

fn store() -> ModelStore {
    Store::open(RefCell::default()).unwrap()
}

fn put_there(store: &mut ModelStore, name: &str, content: &str) {
    for effect in put(name, content.into()) {
        store.folder.carry_out(&effect).unwrap();
    }
    store.found = Found::look(&store.folder).unwrap();
}

/// Cuts the power after every effect of writing [`NEW`], in every way; the document must be the old one or the new one, whole, as the
/// agent wrote it. Gives how many states that were.
fn cut_everywhere(store: &ModelStore, old: Option<&str>) -> usize {
    let known = Known::default();
    let effects = store.found.plan(NEW, "better", at(5), &known);
    let mut states = 0;
    for count in 0..=effects.len() {
        let mut folder = store.folder.clone();
        for effect in &effects[..count] {
            folder.carry_out(effect).unwrap();
        }
        for left in folder.borrow().after_power_cut() {
            states += 1;
            let mut store = Store::open(RefCell::new(left)).unwrap();
            let InEffect { source, text, .. } = store.found.in_effect(&known);
            let is_new = text == NEW && matches!(source, Source::Written { .. });
            let is_old = match old {
                Some(old) => text == old && matches!(source, Source::Written { .. } | Source::ByHand),
                // Of the very first document the history may have the only copy.
                None => source == Source::None || text == NEW && matches!(source, Source::History { .. }),
            };
            assert!(is_new || is_old, "after {count} of {effects:#?}: {source:?} {text:?}\n{:#?}", store.found);
            assert!(count < effects.len() || is_new);
            // Whatever was left, the next document is written as if nothing had been.
            store.write("hostname = \"next\"\n", "", at(9), &known).unwrap();
            assert!(store.found.leftovers.is_empty() && store.found.damaged.is_empty());
        }
    }
    states
}

#[test]
fn a_power_cut_leaves_the_old_document_or_the_new_one() {
    let mut states = cut_everywhere(&store(), None);
    let known = Known::default();
    let mut second = store();
    second.write(OLD, "first", at(1), &known).unwrap();
    states += cut_everywhere(&second, Some(OLD));
    // With leftovers, a damaged file of the history, and a history that is full.
    let mut full = store();
    for index in 0..MAX_ENTRIES as u64 {
        full.write(&format!("hostname = \"n{index}\"\n"), "", at(index), &known).unwrap();
    }
    full.write(OLD, "", at(99), &known).unwrap();
    put_there(&mut full, ".host.toml.new", "half");
    put_there(&mut full, "host.toml.7", "# slipway-agent config 7");
    states += cut_everywhere(&full, Some(OLD));
    let mut by_hand = store();
    by_hand.write(OLD, "", at(1), &known).unwrap();
    put_there(&mut by_hand, DOCUMENT, "hostname = \"hand\"\n");
    states += cut_everywhere(&by_hand, Some("hostname = \"hand\"\n"));
    assert!(states > 130, "{states}");
}

#[test]
fn the_history_keeps_the_newest_and_numbers_go_on() {
    let (mut store, known) = (store(), Known::default());
    for index in 1..=40 {
        let number = store.write(&format!("hostname = \"n{index}\"\n"), "again", at(index), &known).unwrap();
        assert_eq!(number, Number(index));
    }
    let numbers: Vec<u64> = store.found().entries().iter().map(|entry| entry.number.0).collect();
    assert_eq!(numbers, (9..=40).collect::<Vec<u64>>());
    assert_eq!(store.found().entry(Number(9)).unwrap().text, "hostname = \"n9\"\n");
    assert!(matches!(store.found().entry(Number(8)), Err(StoreError::NoNumber(Number(8)))));
    // An old text once more has a number of its own.
    store.write("hostname = \"n9\"\n", "back", at(99), &known).unwrap();
    assert_eq!(store.found().in_effect(&known).source, Source::Written { number: Number(41) });
}

#[test]
fn a_damaged_document_gives_way_to_the_last_good_one() {
    let known = Known::default();
    for damage in ["", "   \n", "hostname = \"ol", "\0\0\0\0", "hostnam = \"slip\"\n"] {
        let mut store = store();
        store.write(OLD, "", at(1), &known).unwrap();
        put_there(&mut store, DOCUMENT, damage);
        let in_effect = store.found().in_effect(&known);
        assert_eq!(in_effect.text, OLD, "{damage:?}");
        assert!(
            matches!(in_effect.source, Source::History { number: Number(1), ref why } if !why.is_empty()),
            "{in_effect:?}"
        );
        // It is kept for whoever wrote it.
        store.write(NEW, "", at(2), &known).unwrap();
        assert_eq!(store.folder.read(REFUSED, 999).unwrap().unwrap(), damage.as_bytes());
        assert_eq!(store.found().entries().len(), 2);
    }
    let mut alone = store();
    put_there(&mut alone, DOCUMENT, "hostname =");
    assert!(matches!(alone.found().in_effect(&known).source, Source::Unusable { .. }));
    let mut gone = store();
    gone.write(OLD, "", at(1), &known).unwrap();
    gone.folder.carry_out(&Effect::Remove { name: DOCUMENT.into() }).unwrap();
    gone.found = Found::look(&gone.folder).unwrap();
    assert_eq!(gone.found().in_effect(&known).text, OLD);
    let mut newest = store();
    newest.write(OLD, "", at(1), &known).unwrap();
    newest.write(NEW, "", at(2), &known).unwrap();
    put_there(&mut newest, DOCUMENT, "");
    put_there(&mut newest, "host.toml.2", "# slipway-agent config 2 torn");
    assert_eq!(newest.found().in_effect(&known).text, OLD);
}

#[test]
fn an_edit_by_hand_counts_and_is_taken_into_the_history() {
    let (mut store, known) = (store(), Known::default());
    store.write(OLD, "", at(1), &known).unwrap();
    let hand = "hostname = \"hand\"\n";
    put_there(&mut store, DOCUMENT, hand);
    assert_eq!(store.found().in_effect(&known).source, Source::ByHand);
    store.adopt(at(3), &known).unwrap();
    assert_eq!(store.found().in_effect(&known).source, Source::Written { number: Number(2) });
    assert_eq!(store.found().entries()[1].message, "edited by hand");
    // Nothing is left to adopt.
    store.adopt(at(4), &known).unwrap();
    assert_eq!(store.found().entries().len(), 2);
    put_there(&mut store, DOCUMENT, OLD);
    assert_eq!(store.found().in_effect(&known).source, Source::Written { number: Number(1) });
}

/// A rollback: the text is in the history, so it was good for the version that wrote it.
#[test]
fn what_a_later_version_wrote_is_no_damage() {
    let (mut store, known) = (store(), Known::default());
    let later = "hostname = \"n\"\nlocale = \"de\"\n";
    store.write(later, "by a later version", at(1), &known).unwrap();
    let in_effect = store.found().in_effect(&known);
    assert_eq!(in_effect.source, Source::Written { number: Number(1) });
    assert_eq!(in_effect.reading.config.hostname.unwrap().as_str(), "n");
    assert_eq!(in_effect.reading.problems.len(), 1);
}

#[test]
fn a_folder_of_the_host_does_the_same() {
    let (folder, known) = (tempfile::tempdir().unwrap(), Known::default());
    let path = folder.path().join("slipway/config");
    let mut store = Store::open(HostFolder::new(&path)).unwrap();
    assert!(store.found().is_empty());
    store.write(OLD, "first", at(1), &known).unwrap();
    store.write(NEW, "second", at(2), &known).unwrap();
    assert_eq!(std::fs::read_to_string(path.join(DOCUMENT)).unwrap(), NEW);
    let again = Store::open(HostFolder::new(&path)).unwrap();
    assert_eq!(again.found().in_effect(&known).source, Source::Written { number: Number(2) });
    let mut names: Vec<String> =
        std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["host.toml", "host.toml.1", "host.toml.2"]);
}
