//! `slipway run IMAGE`

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use slipway_qemu::{Console, Credential, Disk, Forward, Machine, Network};

use super::image::{BuiltImage, MachineArgs, coded};
use crate::context::Context;
use crate::exit_codes::ExitCode;

/// Boot an image in a virtual machine, with its console here; Ctrl-A X leaves.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The output folder of a build, a disk image, or a recipe, which is built first
    image: PathBuf,
    /// Lead a port of this host (127.0.0.1) to the machine's SSH, and print the command; a free one if none is given
    #[arg(long, value_name = "PORT", num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "clap's form of an option whose value may be left out")]
    ssh: Option<Option<u16>>,
    /// Throw away what the machine writes to its disk (the default)
    #[arg(long, conflicts_with = "persist")]
    snapshot: bool,
    /// Write to the disk image itself
    #[arg(long)]
    persist: bool,
    /// Show a screen as well
    #[arg(long)]
    screen: bool,
    /// A system credential for systemd in the machine; may be given several times
    #[arg(long = "credential", value_name = "NAME=VALUE", value_parser = credential)]
    credentials: Vec<Credential>,
    #[command(flatten)]
    machine: MachineArgs,
}

impl Args {
    /// Boots it and waits for its end.
    pub fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let image = BuiltImage::find(context, &self.image)?;
        let disk = Disk::raw(&image.disk).on(self.machine.disk_bus);
        let ssh = self.ssh.map(|port| port.map_or_else(free_port, Ok)).transpose()?;
        let forwards = ssh.iter().map(|host| Forward { host: Some(*host), guest: 22 }).collect();
        // A machine that forgets has a new host key each time.
        let known = if self.persist { "" } else { "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null " };
        let login = ssh.map(|port| format!("ssh -p {port} {known}USER@127.0.0.1"));
        let mut machine = Machine::new(&image.name)
            .memory_mib(self.machine.memory)
            .cpus(self.machine.cpus)
            .accel(self.machine.accel)
            .disk(if self.persist { disk } else { disk.thrown_away() })
            .network(Network::User { restricted: false, forwards })
            .console(Console::Terminal)
            .with_watchdog();
        if self.screen {
            machine = machine.with_screen();
        }
        for credential in self.credentials {
            machine = machine.credential(credential);
        }
        // The firmware clears the screen, and what is noted below with it: the machine shows it again above its login prompt.
        if let Some(login) = &login {
            machine = machine.credential(credential(&format!("login.issue={login}\n\n"))?);
        }
        // QEMU takes the terminal over; nothing may draw on it.
        context.finish();
        let running = coded(machine.start())?;
        let fate = if self.persist {
            "what it writes stays in the image"
        } else {
            "what it writes is thrown away (--persist keeps it)"
        };
        context.note(&format!("{} runs on {}; {fate}; Ctrl-A X leaves", image.name, running.accelerator()));
        if let Some(login) = &login {
            context.note(login);
        }
        let stopped = coded(running.wait())?;
        if !stopped.status().success() {
            bail!("QEMU ended ({})", stopped.status());
        }
        Ok(ExitCode::Success)
    }
}

/// A port that no program of this host listens on now.
fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot find a free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

fn credential(text: &str) -> anyhow::Result<Credential> {
    let (name, value) = text.split_once('=').context("write NAME=VALUE")?;
    Credential::new(name, value).with_context(|| format!("`{name}` is no name of a credential"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::Parser as _;

    use super::super::{Cli, Command};
    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        match Cli::try_parse_from(["slipway", "run"].into_iter().chain(line.split(' ')))?.command {
            Command::Run(args) => Ok(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_mean_what_they_say() {
        let args = parse("out/x_1 --ssh --memory 512M --disk-bus nvme --credential a=b=c").unwrap();
        assert_eq!((args.ssh, args.machine.memory, args.machine.disk_bus), (Some(None), 512, slipway_qemu::Bus::Nvme));
        assert_eq!(args.credentials, [Credential::new("a", "b=c").unwrap()]);
        assert_eq!(parse("--ssh 2222 --persist out/x_1").unwrap().ssh, Some(Some(2222)));
        assert_eq!(parse("out/x_1").unwrap().ssh, None);
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            "x --snapshot --persist",
            "x --credential a",
            "x --credential a/b=c",
            "x --accel hax",
            "x --cpus 0",
            "x --disk-bus ide",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
