//! The agent on the host.

mod commands;
mod exit_code;

use std::io::Write as _;

use clap::{Parser, Subcommand};

use exit_code::ExitCode;

/// Looks after a Slipway host: what runs, and whether it is well.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows which image runs, from which slot, and what is not as it should be.
    Status(commands::status::Arguments),
    /// Says where this host stands, why, and what happens next.
    Explain(commands::explain::Arguments),
    /// Tells where this host stands in the text format of Prometheus.
    Metrics(commands::metrics::Arguments),
    /// Lists what happened on this host: versions installed, committed, gone back from.
    History(commands::history::Arguments),
    /// Asks the repository what it offers, and says what an update would do, and why.
    Check(commands::check::Arguments),
    /// Installs the version that this host is to run, and restarts into it.
    Update(commands::update::Arguments),
    /// One pass of the service: finishes what was interrupted, looks, installs, and restarts when windows and lock allow.
    Run(commands::run::Arguments),
    /// Goes back to the version in the other slot, or keeps a new one from being tried, and restarts.
    Rollback(commands::rollback::Arguments),
    /// Lets a version that failed here be installed again.
    Allow(commands::allow::Arguments),
    /// At every boot: finishes what a power cut has interrupted, and finds a version on trial good or goes back.
    Settle(commands::settle::Arguments),
    /// Before services start: makes the state that of the version that runs, by its migrations or by undoing those of another.
    Migrate(commands::migrate::Arguments),
    /// Reads and writes the lasting configuration of this machine.
    Config(commands::config::Arguments),
    /// Runs the image's health checks, through their soak time.
    Health(commands::health::Arguments),
    /// Serves the test channel on a serial port: whoever is at its other end commands this machine.
    Guest(commands::guest::Arguments),
}

fn main() -> std::process::ExitCode {
    let done = match Arguments::parse().command {
        Command::Status(arguments) => arguments.run(),
        Command::Explain(arguments) => arguments.run(),
        Command::History(arguments) => arguments.run(),
        Command::Metrics(arguments) => arguments.run(),
        Command::Check(arguments) => arguments.run(),
        Command::Update(arguments) => arguments.run(),
        Command::Run(arguments) => arguments.run(),
        Command::Rollback(arguments) => arguments.run(),
        Command::Allow(arguments) => arguments.run(),
        Command::Settle(arguments) => arguments.run(),
        Command::Migrate(arguments) => arguments.run(),
        Command::Config(arguments) => arguments.run(),
        Command::Health(arguments) => arguments.run(),
        Command::Guest(arguments) => arguments.run(),
    };
    let code = done.unwrap_or_else(|error| {
        // There is nowhere else to say it.
        let _ = writeln!(std::io::stderr(), "slipway-agent: {error:#}");
        ExitCode::Failed
    });
    code.into()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_command_for_people_takes_json() {
        let mut lacking = Vec::new();
        let mut open = vec![Arguments::command()];
        while let Some(command) = open.pop() {
            open.extend(command.get_subcommands().cloned());
            if !command.has_subcommands() && command.get_arguments().all(|argument| argument.get_id() != "json") {
                lacking.push(command.get_name().to_owned());
            }
        }
        assert_eq!(lacking, ["guest"]);
    }
}
