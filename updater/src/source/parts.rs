//! Parts of a repository, fetched from several places in turn.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use slipway_images::digest::Digest;
use slipway_images::release::{Part, part_path};
use thiserror::Error;

use super::patience::Patience;
use crate::agent::chain;
use crate::net::{self, BaseUrl, Client, HttpError};

/// Bytes by which a connection has got on, if it was cut off after them.
const PROGRESS: u64 = 64 << 10;

/// Where a repository is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On a web server.
    Url(BaseUrl),
    /// In a folder.
    Folder(PathBuf),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url(url) => url.fmt(f),
            Self::Folder(path) => path.display().fmt(f),
        }
    }
}

/// Why a part can't be had.
#[derive(Debug, Error)]
pub enum PartError {
    /// No place has it, or could deliver it.
    #[error("part {part} can't be had: {reasons}")]
    Unavailable {
        /// Its digest.
        part: Digest,
        /// What was wrong at each place.
        reasons: String,
    },
    /// A part that is larger than what is held in memory.
    #[error("part {part} has {size} bytes, and no more than {limit} are held")]
    TooLarge {
        /// Its digest.
        part: Digest,
        /// Its size.
        size: u64,
        /// What is held.
        limit: u64,
    },
}

impl From<PartError> for io::Error {
    fn from(error: PartError) -> Self {
        Self::other(error)
    }
}

/// What was fetched so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Traffic {
    /// Bytes of bodies.
    pub bytes: u64,
    /// Requests.
    pub requests: u64,
}

/// The parts of a repository.
#[derive(Debug)]
pub struct Parts {
    client: Client,
    /// For places that others can stand in for.
    impatient: Client,
    patience: Patience,
    places: Vec<Known>,
    /// The place that is asked first: the one that answered last.
    preferred: usize,
    /// Times in a row that what came was wrong and several places had a share in it.
    doubts: usize,
    traffic: Traffic,
}

/// A place, and what is known of it.
#[derive(Debug)]
struct Known {
    place: Place,
    /// Why it isn't asked any more.
    given_up: Option<String>,
    /// Some of what nobody has vouched for yet came from it.
    has_share: bool,
}

/// Why a place brought nothing.
enum Trouble {
    /// It may be better later.
    Passing(String),
    /// It lacks this part, or answers for it in a way that asking again won't change.
    Here(String),
    /// It can't be used for any part.
    Everywhere(String),
}

impl Parts {
    /// The parts of a repository that is in all of these places, the best one first.
    pub fn new(places: Vec<Place>, client: Client, patience: Patience) -> Self {
        let places = places.into_iter().map(|place| Known { place, given_up: None, has_share: false }).collect();
        let impatient = client.impatient();
        Self { client, impatient, patience, places, preferred: 0, doubts: 0, traffic: Traffic::default() }
    }

    /// What was fetched so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Places that aren't asked any more, and why.
    pub fn given_up(&self) -> impl Iterator<Item = String> {
        self.places.iter().filter_map(|known| Some(format!("{} {}", known.place, known.given_up.as_ref()?)))
    }

    /// Bytes of a part, as they come. They are not checked: whoever does says whether they [are right](Self::vouch) or
    /// [wrong](Self::blame).
    pub fn open(&mut self, part: Part, range: Range<u64>) -> PartReader<'_> {
        let end = range.end.min(part.size);
        let here = vec![Attempt::default(); self.places.len()];
        let is_whole = range.start == 0 && end == part.size;
        PartReader { part, at: range.start.min(end), end, is_whole, body: None, here, waits: 0, since: 0, parts: self }
    }

    /// All of a part of at most `limit` bytes, with the right digest.
    pub fn whole(&mut self, part: Part, limit: u64) -> Result<Vec<u8>, PartError> {
        let too_large = || PartError::TooLarge { part: part.sha256, size: part.size, limit };
        let size = usize::try_from(part.size).ok().filter(|_| part.size <= limit).ok_or_else(too_large)?;
        loop {
            let mut bytes = vec![0; size];
            let mut reader = self.open(part, 0..part.size);
            reader.fill(&mut bytes)?;
            if Digest::of(&bytes) == part.sha256 {
                self.vouch();
                return Ok(bytes);
            }
            self.blame(part, "sends other bytes than were signed")?;
        }
    }

    /// All that came until now is what was signed.
    pub fn vouch(&mut self) {
        self.doubts = 0;
        self.places.iter_mut().for_each(|known| known.has_share = false);
    }

    /// What came since the last [`vouch`](Self::vouch) is not what was signed, and is to be asked for again. If one place sent all of it,
    /// that one isn't asked any more. Else it isn't known which of them was wrong: the last one is asked for all of it, and is to blame
    /// where that goes on. An error when no place is left.
    pub fn blame(&mut self, part: Part, what: &str) -> Result<(), PartError> {
        let shares =
            self.places.iter_mut().map(|known| usize::from(std::mem::take(&mut known.has_share))).sum::<usize>();
        if shares > 1 && self.doubts < self.places.len() {
            self.doubts += 1;
            return Ok(());
        }
        self.doubts = 0;
        if let Some(known) = self.places.get_mut(self.preferred) {
            known.given_up = Some(what.to_owned());
        }
        match self.places.iter().position(|known| known.given_up.is_none()) {
            Some(next) => {
                self.preferred = next;
                Ok(())
            }
            None => Err(self.unavailable(part, &[])),
        }
    }

    fn unavailable(&self, part: Part, here: &[Attempt]) -> PartError {
        let reasons = self.places.iter().enumerate().map(|(index, Known { place, given_up, .. })| {
            let here = here.get(index).and_then(|attempt| attempt.said.as_deref());
            format!("{place} {}", given_up.as_deref().or(here).unwrap_or("was not asked"))
        });
        let reasons = reasons.collect::<Vec<_>>().join("; ");
        let reasons = if reasons.is_empty() { "no repository is known".to_owned() } else { reasons };
        PartError::Unavailable { part: part.sha256, reasons }
    }

    /// Asks one place for the bytes of a part from `range.start` on. One that is slow won't do where it `is_replaceable`.
    fn ask(
        &mut self,
        index: usize,
        part: Part,
        range: &Range<u64>,
        goes_on: bool,
        is_replaceable: bool,
    ) -> Result<Box<dyn Read + Send>, Trouble> {
        let path = part_path(&part.sha256);
        self.traffic.requests += 1;
        let client = if is_replaceable { &self.impatient } else { &self.client };
        match &self.places[index].place {
            Place::Url(url) => get(client, &url.join(&path), part, range, goes_on),
            Place::Folder(folder) => open_file(&folder.join(path), part, range),
        }
    }
}

/// Asks a web server. Where a part is wanted as a whole and this `goes_on` with it, a server that can't do ranges will do.
/// Where some of it is wanted, it won't: each update would be a full download.
fn get(
    client: &Client,
    url: &str,
    part: Part,
    range: &Range<u64>,
    goes_on: bool,
) -> Result<Box<dyn Read + Send>, Trouble> {
    let is_whole = range.start == 0 && range.end == part.size;
    let asked = (!is_whole).then_some(net::Range { start: range.start, end: Some(range.end) });
    let answer = client.get(url, asked).map_err(|error| {
        let said = format!("fails: {}", chain(&error));
        match error {
            HttpError::WrongRange { .. } | HttpError::NoRange => Trouble::Everywhere(said),
            error if error.may_pass() => Trouble::Passing(said),
            _ => Trouble::Here(said),
        }
    })?;
    let Some(mut answer) = answer else { return Err(Trouble::Here("doesn't have it".to_owned())) };
    let total = match answer.range {
        Some((_, total)) => total,
        None => answer.len,
    };
    if let Some(total) = total.filter(|total| *total != part.size) {
        return Err(Trouble::Here(format!("has {total} bytes, and {} were signed", part.size)));
    }
    if answer.range.is_none() && !is_whole {
        if !goes_on {
            return Err(Trouble::Everywhere("answers a range with the whole file".to_owned()));
        }
        let skipped = io::copy(&mut answer.body.by_ref().take(range.start), &mut io::sink());
        skipped.map_err(|error| Trouble::Passing(format!("breaks off: {}", chain(&error))))?;
    }
    Ok(answer.body)
}

/// Opens a file of a folder. Only plain files are: a pipe or a device would block or never end.
fn open_file(path: &Path, part: Part, range: &Range<u64>) -> Result<Box<dyn Read + Send>, Trouble> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Trouble::Here("doesn't have it".to_owned()),
        _ => Trouble::Here(format!("can't be read: {error}")),
    };
    let found = std::fs::metadata(path).map_err(failed)?;
    if !found.is_file() || found.len() != part.size {
        return Err(Trouble::Here(format!("has no file of {} bytes for it", part.size)));
    }
    let mut file = File::open(path).map_err(failed)?;
    file.seek(SeekFrom::Start(range.start)).map_err(failed)?;
    Ok(Box::new(file))
}

/// Reads a run of a part, going on from where it was cut off, wherever that can be.
pub struct PartReader<'a> {
    parts: &'a mut Parts,
    part: Part,
    at: u64,
    end: u64,
    /// The part is wanted from its first byte to its last.
    is_whole: bool,
    body: Option<Box<dyn Read + Send>>,
    /// By place: what it did about this part.
    here: Vec<Attempt>,
    /// Waits since bytes came.
    waits: u32,
    /// Bytes since the last connection was made.
    since: u64,
}

/// What a place did about a part.
#[derive(Clone, Debug, Default)]
struct Attempt {
    /// It won't be asked again.
    refused: bool,
    /// It failed since the last wait.
    failed: bool,
    said: Option<String>,
}

impl PartReader<'_> {
    /// All that was read until now is what was signed.
    pub fn vouch(&mut self) {
        self.parts.vouch();
    }

    /// Fills the buffer.
    pub fn fill(&mut self, buf: &mut [u8]) -> Result<(), PartError> {
        let mut done = 0;
        while done < buf.len() {
            match self.some(&mut buf[done..])? {
                0 => return Err(self.unavailable()),
                count => done += count,
            }
        }
        Ok(())
    }

    /// The next bytes, at least one before the end.
    fn some(&mut self, buf: &mut [u8]) -> Result<usize, PartError> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let wanted = buf.len().min(left);
        if wanted == 0 {
            return Ok(0);
        }
        loop {
            let mut body = match self.body.take() {
                Some(body) => body,
                None => self.connect()?,
            };
            match body.read(&mut buf[..wanted]) {
                Ok(0) => self.body_failed("ends too early".to_owned()),
                Ok(count) => {
                    self.body = Some(body);
                    self.at += count as u64;
                    self.since += count as u64;
                    self.parts.traffic.bytes += count as u64;
                    self.parts.places[self.parts.preferred].has_share = true;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => self.body = Some(body),
                Err(error) => self.body_failed(format!("breaks off: {}", chain(&error))),
            }
        }
    }

    fn body_failed(&mut self, said: String) {
        // Somebody who sends a few bytes and ends is not getting on.
        if self.since >= PROGRESS {
            self.waits = 0;
            self.here.iter_mut().for_each(|attempt| attempt.failed = false);
        }
        if let Some(attempt) = self.here.get_mut(self.parts.preferred) {
            *attempt = Attempt { failed: true, said: Some(said), ..Attempt::default() };
        }
    }

    /// Finds a place that answers; waits when none does and one may later.
    fn connect(&mut self) -> Result<Box<dyn Read + Send>, PartError> {
        loop {
            let count = self.parts.places.len();
            let usable = |index: &usize| self.parts.places[*index].given_up.is_none() && !self.here[*index].refused;
            let mut in_turn = (0..count).map(|step| (self.parts.preferred + step) % count).filter(usable);
            let Some(index) = in_turn.clone().find(|index| !self.here[*index].failed) else {
                let wait = self.parts.patience.wait(self.waits).filter(|_| in_turn.next().is_some());
                let wait = wait.ok_or_else(|| self.unavailable())?;
                std::thread::sleep(wait);
                self.waits += 1;
                self.here.iter_mut().for_each(|attempt| attempt.failed = false);
                continue;
            };
            let is_replaceable = in_turn.clone().any(|other| other != index && !self.here[other].failed);
            match self.parts.ask(index, self.part, &(self.at..self.end), self.is_whole, is_replaceable) {
                Ok(body) => {
                    self.parts.preferred = index;
                    self.since = 0;
                    return Ok(body);
                }
                Err(Trouble::Passing(said)) => {
                    self.here[index] = Attempt { refused: false, failed: true, said: Some(said) };
                }
                Err(Trouble::Here(said)) => {
                    self.here[index] = Attempt { refused: true, failed: true, said: Some(said) };
                }
                Err(Trouble::Everywhere(said)) => self.parts.places[index].given_up = Some(said),
            }
        }
    }

    fn unavailable(&self) -> PartError {
        self.parts.unavailable(self.part, &self.here)
    }
}
