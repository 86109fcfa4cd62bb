//! `slipway`: from a recipe to a lock, a tree, an image.

mod commands;
mod context;
mod exit_codes;
mod ui;

use clap::Parser as _;

use crate::commands::Cli;
use crate::context::Context;
use crate::exit_codes::ExitCode;

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    let context = match Context::new(&cli.global) {
        Ok(context) => context,
        Err(error) => return ui::errors::report(&error, cli.global.json).into(),
    };
    let outcome = cli.command.run(&context);
    context.finish();
    match outcome {
        Ok(code) => code,
        Err(error) if exit_codes::is_broken_pipe(&error) => ExitCode::Success,
        Err(error) => ui::errors::report(&error, cli.global.json),
    }
    .into()
}
