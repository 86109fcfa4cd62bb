//! What every subcommand is handed: the global flags, where things lie, and who watches.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde::Serialize;
use slipway_builder::progress::{Event, Progress};

use crate::ui::Ui;

/// Flags that every subcommand takes.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Print results on stdout, and progress and errors on stderr, as JSON (one object a line)
    #[arg(long, global = true)]
    pub json: bool,
    /// Print results and errors only, no progress and no notes
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Draw no progress bars; print plain lines instead
    #[arg(long, global = true)]
    pub no_progress: bool,
    /// Folder of downloaded packages [env: `SLIPWAY_CACHE`] [default: `~/.cache/slipway`]
    #[arg(long, global = true, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Base URL of the package archive [env: `SLIPWAY_MIRROR`] [default: that of this machine's apt sources]
    #[arg(long, global = true, value_name = "URL")]
    pub mirror: Option<String>,
    /// Folder that outputs and the store go to [env: `SLIPWAY_OUT`] [default: ./out]
    #[arg(long, global = true, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Folder with `slipway-agent` and `slipway-initrd` [env: `SLIPWAY_COMPONENTS`] [default: `guest` beside `slipway`, or beside it]
    #[arg(long, global = true, value_name = "DIR")]
    pub components: Option<PathBuf>,
}

/// What a subcommand is handed.
pub struct Context {
    json: bool,
    cache: PathBuf,
    mirror: Option<String>,
    out: PathBuf,
    components: PathBuf,
    ui: Arc<Ui>,
}

impl Context {
    /// Flags first, then the environment, then defaults.
    pub fn new(args: &GlobalArgs) -> anyhow::Result<Self> {
        Ok(Self {
            json: args.json,
            cache: match folder(args.cache.as_deref(), "SLIPWAY_CACHE") {
                Some(cache) => cache,
                None => default_cache()?,
            },
            mirror: match &args.mirror {
                Some(url) => Some(url.clone()),
                None => env::var("SLIPWAY_MIRROR").ok().filter(|url| !url.is_empty()),
            },
            out: folder(args.out.as_deref(), "SLIPWAY_OUT").unwrap_or_else(|| "out".into()),
            components: match folder(args.components.as_deref(), "SLIPWAY_COMPONENTS") {
                Some(components) => components,
                None => own_components()?,
            },
            ui: Arc::new(Ui::new(args.json, args.quiet, args.no_progress)),
        })
    }

    /// Whether results are to be JSON.
    pub fn json(&self) -> bool {
        self.json
    }

    /// The cache folder; may not be there yet.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// The mirror that the user named, if any; else it is up to the host's apt sources.
    pub fn mirror(&self) -> Option<&str> {
        self.mirror.as_deref()
    }

    /// The output folder; may not be there yet.
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// The folder with `slipway-agent` and `slipway-initrd`.
    pub fn components(&self) -> &Path {
        &self.components
    }

    /// Whoever watches; hand it to long work.
    pub fn progress(&self) -> Arc<dyn Progress> {
        self.ui.clone()
    }

    /// Something a person should know, on stderr; nothing under `--quiet`.
    pub fn note(&self, text: &str) {
        self.ui.event(Event::Note(text));
    }

    /// Prints a result to stdout, as it is. A line end is not added.
    pub fn print(&self, text: &str) -> anyhow::Result<()> {
        self.ui.suspend(|| {
            let mut stdout = io::stdout().lock();
            stdout.write_all(text.as_bytes())?;
            stdout.flush()
        })?;
        Ok(())
    }

    /// Prints a result to stdout as one line of JSON.
    pub fn print_json(&self, value: &impl Serialize) -> anyhow::Result<()> {
        let mut line = serde_json::to_string(value)?;
        line.push('\n');
        self.print(&line)
    }

    /// Takes the bars off the screen.
    pub fn finish(&self) {
        self.ui.finish();
    }
}

fn folder(flag: Option<&Path>, variable: &str) -> Option<PathBuf> {
    flag.map(Path::to_owned).or_else(|| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from))
}

/// `$XDG_CACHE_HOME/slipway`, else `~/.cache/slipway` (XDG base directory specification: a relative value is ignored).
fn default_cache() -> anyhow::Result<PathBuf> {
    if let Some(base) = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|base| base.is_absolute()) {
        return Ok(base.join("slipway"));
    }
    match env::home_dir() {
        Some(home) if !home.as_os_str().is_empty() => Ok(home.join(".cache/slipway")),
        _ => bail!("there is no home folder for the cache; name one with --cache DIR"),
    }
}

/// Where the guest's programs are, if nobody says it: in `guest` beside this program, or right beside it. In cargo's target
/// folder the latter are those of the last `cargo test`, which no image can use.
fn own_components() -> anyhow::Result<PathBuf> {
    let program = env::current_exe().context("this program's own file cannot be found; use --components DIR")?;
    let folder = program.parent().map(Path::to_owned).unwrap_or_default();
    let guest = folder.join("guest");
    Ok(if guest.is_dir() { guest } else { folder })
}
