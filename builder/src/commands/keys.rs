//! `slipway keys`: the keys that sign releases.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use serde::Serialize;
use slipway_builder::keys::{
    self, Expiry, KeyFolder, KeysError, Passphrase, Protection, Rotation, Signing, first_root, next_root,
};
use slipway_trust::time::UnixTime;
use slipway_trust::tuf::schema::Root;
use slipway_trust::tuf::sign::{TopRole, UnsignedRole};

use crate::context::Context;
use crate::exit_codes::ExitCode;
use crate::ui::passphrase;

/// Make, renew and show the keys that sign releases.
///
/// `keys/README.md` is the ceremony, step by step.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    /// File whose first line is the passphrase of private keys [env: `SLIPWAY_PASSPHRASE`, the passphrase itself]
    #[arg(long, global = true, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key pair: FILE, protected by a passphrase, and its public half beside it
    New {
        /// The private key's file, such as `alice.pem`; the public one is `alice.pub.pem`
        file: PathBuf,
        /// Without a passphrase: whoever can read the file can sign
        #[arg(long)]
        unprotected: bool,
    },
    /// Start a key folder: keys for releases, and the first root
    Init(Init),
    /// Draft the next root: later expiry, other keys
    Rotate(Rotate),
    /// Show roots, keys, expiry, and what a draft still needs
    Show {
        /// The key folder
        #[arg(default_value = "keys/private")]
        folder: PathBuf,
    },
    /// Sign a draft; with enough signatures, in its key folder, it becomes the root
    Sign {
        /// The draft, such as `2.root.draft.json`
        draft: PathBuf,
        /// Private key to sign with; any number of times
        #[arg(long, value_name = "FILE")]
        key: Vec<PathBuf>,
        /// A copy of the draft that was signed elsewhere; any number of times
        #[arg(long, value_name = "FILE")]
        merge: Vec<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
struct Init {
    /// The key folder
    #[arg(default_value = "keys/private")]
    folder: PathBuf,
    /// Public key that may sign roots; any number of times
    #[arg(long, value_name = "FILE", required_unless_present = "development")]
    root: Vec<PathBuf>,
    /// Root keys that must sign each root
    #[arg(long, value_name = "N", default_value = "1")]
    threshold: NonZeroU64,
    /// Days that the root counts
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = days())]
    expires_in: u64,
    /// No passphrase for the keys that sign releases
    #[arg(long)]
    unprotected: bool,
    /// All keys at once, without passphrases, for trying things out; never for hosts that matter
    #[arg(long, conflicts_with_all = ["root", "threshold"])]
    development: bool,
}

#[derive(Debug, clap::Args)]
struct Rotate {
    /// The key folder
    #[arg(default_value = "keys/private")]
    folder: PathBuf,
    /// Days that the new root counts
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = days())]
    expires_in: u64,
    /// Public key that may sign roots from now on; any number of times
    #[arg(long, value_name = "FILE")]
    add_root: Vec<PathBuf>,
    /// Root key that no longer may, by the first characters of its name; any number of times
    #[arg(long, value_name = "NAME")]
    remove_root: Vec<String>,
    /// Root keys that must sign each root from now on
    #[arg(long, value_name = "N")]
    threshold: Option<NonZeroU64>,
    /// Role that gets a new key: targets, snapshot or timestamp; any number of times
    #[arg(long, value_name = "ROLE", value_parser = online_role)]
    replace: Vec<TopRole>,
    /// No passphrase for the new keys
    #[arg(long)]
    unprotected: bool,
}

const DAY: u64 = 86_400;

impl Args {
    /// Does it.
    pub fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let file = self.passphrase_file.as_deref();
        match self.command {
            Command::New { file: path, unprotected } => {
                let key = keys::create(&path, &protection(file, &path, unprotected)?)?;
                let public = keys::public_path(&path);
                context.print(&format!("{}  private key {}\n", public.display(), key.id()))?;
            }
            Command::Init(init) => init.run(file, context)?,
            Command::Rotate(rotate) => rotate.run(file, context)?,
            Command::Show { folder } => show(&KeyFolder::at(&folder), context)?,
            Command::Sign { draft, key, merge } => {
                let ask = |path: &Path| passphrase::known(file, path);
                let keys = key.iter().map(|path| keys::read(path, &ask)).collect::<Result<Vec<_>, _>>()?;
                sign(&draft, &keys, &merge, context)?;
            }
        }
        Ok(ExitCode::Success)
    }
}

impl Init {
    fn run(self, file: Option<&Path>, context: &Context) -> anyhow::Result<()> {
        let folder = KeyFolder::at(&self.folder);
        let (now, expires) = period(self.expires_in);
        let public = |path: &PathBuf| keys::read_public(path);
        let mut root_keys = self.root.iter().map(public).collect::<Result<Vec<_>, _>>()?;
        if self.development {
            folder.check_vacant(&TopRole::ALL)?;
        } else {
            keys::check_threshold(&root_keys, self.threshold)?;
        }
        let protection = protection(file, &folder.key_path(TopRole::Targets), self.unprotected || self.development)?;
        let online = folder.create_online_keys(&protection)?;
        let development = if self.development {
            context.note("development keys: no passphrase, one root key; make others for hosts that matter");
            Some(keys::create(&folder.key_path(TopRole::Root), &Protection::None)?)
        } else {
            None
        };
        root_keys.extend(development.iter().map(slipway_trust::tuf::sign::SigningKey::public));
        let draft = folder.add_draft(&first_root(&root_keys, self.threshold, &online, (now, expires))?)?;
        sign(&draft, development.as_slice(), &[], context)
    }
}

impl Rotate {
    fn run(self, file: Option<&Path>, context: &Context) -> anyhow::Result<()> {
        let folder = KeyFolder::at(&self.folder);
        let previous = folder.root()?;
        if let Some((path, _)) = folder.draft()? {
            return Err(KeysError::DraftWaits(path).into());
        }
        let mut rotation = Rotation { remove_root: self.remove_root, threshold: self.threshold, ..Rotation::default() };
        for path in &self.add_root {
            rotation.add_root.push(keys::read_public(path)?);
        }
        for role in self.replace {
            let protection = protection(file, &folder.key_path(role), self.unprotected)?;
            rotation.online.push((role, folder.create_next_key(role, &protection)?.public()));
        }
        let draft = folder.add_draft(&next_root(&previous, &rotation, period(self.expires_in))?)?;
        sign(&draft, &[], &[], context)
    }
}

/// Signs, and tells what was signed and what is missing.
fn sign(
    draft: &Path,
    keys: &[slipway_trust::tuf::sign::SigningKey],
    copies: &[PathBuf],
    context: &Context,
) -> anyhow::Result<()> {
    let bytes = std::fs::read(draft).with_context(|| format!("{} could not be read", draft.display()))?;
    let unsigned = UnsignedRole::<Root>::from_draft(&bytes)?;
    for key in keys.iter().map(slipway_trust::tuf::sign::SigningKey::id) {
        if !unsigned.content().root.key_ids.contains(&key) {
            context.note(&format!(
                "{key} is no root key of this draft: its signature counts only if the root before names it"
            ));
        }
    }
    let signing = KeyFolder::sign(draft, keys, copies)?;
    let state = match &signing {
        Signing::Published(path) => format!("{} is the root now\n", path.display()),
        Signing::Waiting { before, own, missing } => {
            let count = |(valid, needed): &(u64, u64)| format!("{valid} of {needed}");
            let before = before.as_ref().map(|counts| format!(", {} of the root before", count(counts)));
            let missing = missing.as_ref().map(|missing| {
                format!("{} isn't beside it: a draft becomes the root where all roots before are\n", missing.display())
            });
            let (before, missing) = (before.unwrap_or_default(), missing.unwrap_or_default());
            format!("{}: {} signatures of its own keys{before}\n{missing}", draft.display(), count(own))
        }
    };
    if context.json() {
        let published = matches!(signing, Signing::Published(_));
        return context.print_json(&Signed { draft, published, fingerprint: unsigned.fingerprint() });
    }
    let told = describe(unsigned.content(), UnixTime::now());
    context.print(&format!("{told}fingerprint {}\n{state}", unsigned.fingerprint()))
}

#[derive(Serialize)]
struct Signed<'a> {
    draft: &'a Path,
    published: bool,
    fingerprint: String,
}

#[derive(Serialize)]
struct Shown {
    version: u64,
    expires: String,
    warning: Option<String>,
    draft: Option<PathBuf>,
}

fn show(folder: &KeyFolder, context: &Context) -> anyhow::Result<()> {
    let draft = folder.draft()?;
    let root = folder.root();
    if let (Err(KeysError::NoRoot(_)), Some((path, draft))) = (&root, &draft) {
        let told = describe(draft.content(), UnixTime::now());
        return context.print(&format!("{}, not signed yet:\n{told}", path.display()));
    }
    let (root, now) = (root?, UnixTime::now());
    let warning = Expiry::of(root.header.expires, now).warning();
    if let Some(warning) = &warning {
        context.note(warning);
    }
    let path = draft.map(|(path, _)| path);
    if context.json() {
        let (version, expires) = (root.header.version.number(), root.header.expires.to_iso());
        return context.print_json(&Shown { version, expires, warning, draft: path });
    }
    let waiting = path.map(|path| format!("{} waits for signatures\n", path.display())).unwrap_or_default();
    context.print(&format!("{}{waiting}", describe(&root, now)))
}

fn describe(root: &Root, now: UnixTime) -> String {
    let header = &root.header;
    let expiry = Expiry::of(header.expires, now);
    let mut text = format!("root version {}, expires {} ({expiry})\n", header.version, header.expires);
    for role in TopRole::ALL {
        let keys = role.of(root);
        text += &[role.name().to_string(), format!(": {} of\n", keys.threshold)].concat();
        for id in &keys.key_ids {
            text += &["  ", id.as_str(), "\n"].concat();
        }
    }
    text
}

/// A root that is over at once is of no use, and one that counts for longer than a century was a slip.
fn days() -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(1..=36_500)
}

fn period(days: u64) -> (UnixTime, UnixTime) {
    let now = UnixTime::now();
    (now, now.after(days.saturating_mul(DAY)))
}

fn protection(file: Option<&Path>, path: &Path, unprotected: bool) -> anyhow::Result<Protection> {
    if unprotected {
        return Ok(Protection::None);
    }
    let passphrase: Passphrase = passphrase::new(file, path)?;
    Ok(Protection::Passphrase(passphrase))
}

fn online_role(text: &str) -> Result<TopRole, String> {
    match text {
        "targets" => Ok(TopRole::Targets),
        "snapshot" => Ok(TopRole::Snapshot),
        "timestamp" => Ok(TopRole::Timestamp),
        _ => Err("a role that signs releases is targets, snapshot or timestamp".to_owned()),
    }
}
