//! `slipway test RECIPE|IMAGE`

use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::Context as _;
use slipway_builder::build::{REPORT_HTML, complete_report};
use slipway_builder::smoke::{self, Options};

use super::image::{BuiltImage, MachineArgs, coded};
use crate::context::Context;
use crate::exit_codes::ExitCode;

/// Boot an image in a virtual machine, run its smoke checks inside, restart it, and look what lasted.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A recipe, which is built first, the output folder of a build, or a disk image
    image: PathBuf,
    /// Write the results as `JUnit` XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Do not restart the machine: check its first boot only
    #[arg(long)]
    no_reboot: bool,
    /// How long a boot may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    boot_within: u64,
    #[command(flatten)]
    machine: MachineArgs,
}

impl Args {
    /// Tests it.
    pub fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let image = BuiltImage::find(context, &self.image)?;
        let options = Options {
            bus: self.machine.disk_bus,
            accel: self.machine.accel,
            memory_mib: self.machine.memory,
            cpus: self.machine.cpus,
            reboot: !self.no_reboot,
            boot_within: std::time::Duration::from_secs(self.boot_within),
            serial_log: Some(log_path(&image)),
            ..Options::new(&image.name, &image.disk)
        };
        let report = coded(smoke::run(&options, &*context.progress()))?;
        if let Some(boot) = report.first_boot() {
            // The test counts, not its report: a folder that can't be written to is no failure.
            match complete_report(&image.folder, boot) {
                Ok(true) => context.note(&format!("boot timeline: {}", image.folder.join(REPORT_HTML).display())),
                Ok(false) => {}
                Err(error) => context.note(&format!("the report is left without the boot timeline: {error}")),
            }
        }
        if let Some(path) = &self.junit {
            File::create(path)
                .and_then(|file| report.write_junit(file))
                .with_context(|| format!("results cannot be written to {}", path.display()))?;
        }
        if context.json() {
            context.print_json(&report)?;
        } else {
            context.print(&report.to_string())?;
        }
        Ok(if report.passed() { ExitCode::Success } else { ExitCode::CheckFailed })
    }
}

/// The log goes beside the image, or, where nothing can be written there, to the temporary folder.
fn log_path(image: &BuiltImage) -> PathBuf {
    let beside = image.folder.join("serial.log");
    let writable = fs::OpenOptions::new().append(true).create(true).open(&beside).is_ok();
    if writable { beside } else { std::env::temp_dir().join(format!("slipway-{}-serial.log", image.name)) }
}
