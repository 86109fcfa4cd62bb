//! `slipway-tuf-client`: the agent's TUF client behind the command line that the public conformance suite for TUF clients
//! speaks. Ends with 0, or with 1 when anything failed.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use slipway_trust::tuf::{
    Client, ClientLimits, Clock, DirStore, Repository, RoleName, TargetPath, VerifiedRoot, VerifiedTarget,
};
use slipway_updater::net::{self, HttpTransport};

/// A TUF client for tests.
#[derive(Debug, Parser)]
#[command(name = "slipway-tuf-client", version)]
struct Arguments {
    /// Folder of trusted metadata.
    #[arg(long)]
    metadata_dir: PathBuf,
    /// URL of the repository's metadata.
    #[arg(long, default_value = "")]
    metadata_url: String,
    /// Path of a target, any number of times.
    #[arg(long)]
    target_name: Vec<String>,
    /// URL of the repository's targets.
    #[arg(long)]
    target_base_url: Option<String>,
    /// Folder that targets are put into.
    #[arg(long)]
    target_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts to trust a root.
    Init {
        /// Its file.
        root: PathBuf,
    },
    /// Brings the trusted metadata up to date.
    Refresh,
    /// The same, and downloads targets.
    Download,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.command {
        Command::Init { root } => init(&arguments.metadata_dir, root),
        Command::Refresh => refresh(&arguments).map(drop),
        Command::Download => download(&arguments),
    };
    if let Err(error) = done {
        let _ = writeln!(std::io::stderr(), "slipway-tuf-client: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn init(folder: &Path, root: &Path) -> Result<()> {
    let bytes = fs::read(root).with_context(|| format!("{} could not be read", root.display()))?;
    VerifiedRoot::anchor(&bytes).with_context(|| format!("{} is no root that can be trusted", root.display()))?;
    DirStore::create(folder, &bytes)?;
    Ok(())
}

fn refresh(arguments: &Arguments) -> Result<Repository<DirStore, HttpTransport>> {
    let store = DirStore::open(&arguments.metadata_dir)?;
    let targets = arguments.target_base_url.as_ref().unwrap_or(&arguments.metadata_url);
    let transport = HttpTransport::new(net::Client::default(), &arguments.metadata_url, targets)?;
    // No lower bound of the time: suites try repositories of years ago with a clock of then.
    let client = Client::open(store, transport, ClientLimits::default(), Clock::of_machine())?;
    Ok(client.refresh()?)
}

fn download(arguments: &Arguments) -> Result<()> {
    let mut repository = refresh(arguments)?;
    let folder = arguments.target_dir.as_ref().context("--target-dir is missing")?;
    arguments.target_base_url.as_ref().context("--target-base-url is missing")?;
    for name in &arguments.target_name {
        let path = TargetPath::new(name).with_context(|| format!("{name:?} is no path of a target"))?;
        let target = repository.find(&path)?;
        // One file for each path, whatever characters it has: as a role's file is named, without its ending.
        let file = RoleName::new(name).with_context(|| format!("{name:?} is no path of a target"))?.file_name();
        let file = folder.join(file.trim_end_matches(".json"));
        if !is_there(&file, &target) {
            fetch(&mut repository, &target, &file)?;
        }
    }
    Ok(())
}

fn is_there(file: &Path, target: &VerifiedTarget) -> bool {
    fs::read(file)
        .is_ok_and(|bytes| bytes.len() as u64 == target.file().length && target.file().hashes.hold_for(&bytes))
}

fn fetch(repository: &mut Repository<DirStore, HttpTransport>, target: &VerifiedTarget, file: &Path) -> Result<()> {
    let partial = file.with_added_extension("partial");
    let mut sink = File::create(&partial).with_context(|| format!("{} could not be made", partial.display()))?;
    let done = repository.download(target, &mut sink).map_err(anyhow::Error::from).and_then(|()| {
        sink.sync_all()?;
        fs::rename(&partial, file)?;
        Ok(())
    });
    if done.is_err() {
        let _ = fs::remove_file(&partial);
    }
    done
}
