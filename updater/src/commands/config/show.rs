//! `slipway-agent config show` and `check`

use std::io::Write as _;
use std::path::Path;

use slipway_updater::config::{CONFIG_PATH, Known, MachineConfig, Problem, Source, in_effect};

use super::{Input, shown, text_of};
use crate::exit_code::ExitCode;

/// Arguments of `config show`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print a JSON document: where the configuration comes from, what it says, and what in it isn't understood.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Report {
    #[serde(flatten)]
    source: Source,
    document: serde_json::Value,
    problems: Vec<Problem>,
}

impl Arguments {
    /// Prints the document, and on the standard error what is wrong with it.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let in_effect = in_effect(Path::new("/"))?;
        let well = matches!(in_effect.source, Source::None | Source::Written { .. } | Source::ByHand)
            && in_effect.reading.problems.is_empty();
        let code = if well { ExitCode::Done } else { ExitCode::NotWell };
        if self.json {
            let table: toml::Table = toml::from_str(&in_effect.text)?;
            let document = serde_json::to_value(table)?;
            let report = Report { source: in_effect.source, document, problems: in_effect.reading.problems };
            writeln!(std::io::stdout(), "{}", serde_json::to_string(&report)?)?;
            return Ok(code);
        }
        let mut errors = std::io::stderr();
        match &in_effect.source {
            Source::None => writeln!(errors, "there is no document: all is the image's")?,
            Source::Written { .. } => {}
            Source::ByHand => writeln!(errors, "edited by hand; the history has it from the next boot on")?,
            Source::History { number, why } => {
                write!(errors, "{}", shown(why, CONFIG_PATH))?;
                writeln!(errors, "it can't be used; this is number {number} of the history:")?;
            }
            Source::Unusable { why } => {
                write!(errors, "{}", shown(why, CONFIG_PATH))?;
                writeln!(errors, "it can't be used, and there is no other: all is the image's")?;
            }
        }
        std::io::stdout().write_all(in_effect.text.as_bytes())?;
        write!(errors, "{}", shown(&in_effect.reading.problems, CONFIG_PATH))?;
        Ok(code)
    }
}

/// Arguments of `config check`.
#[derive(Debug, clap::Args)]
pub struct CheckArguments {
    #[command(flatten)]
    input: Input,
    /// Print a JSON array of what is wrong.
    #[arg(long)]
    json: bool,
}

impl CheckArguments {
    /// Says what is wrong.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let text = text_of(&self.input.file)?;
        let problems = MachineConfig::check(&text, &Known::of_host(Path::new("/"))).err().unwrap_or_default();
        let told = if self.json {
            format!("{}\n", serde_json::to_string(&problems)?)
        } else if problems.is_empty() {
            "nothing is wrong\n".to_owned()
        } else {
            shown(&problems, &self.input.name())
        };
        std::io::stdout().write_all(told.as_bytes())?;
        Ok(if problems.is_empty() { ExitCode::Done } else { ExitCode::NotWell })
    }
}
