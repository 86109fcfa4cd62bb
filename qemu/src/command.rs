//! The command line of QEMU. Pure: what has to be made first ([`Files`]) is made by others.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::accelerator::Accelerator;
use crate::disk::{Access, Bus, Format};
use crate::fault::Nodes;
use crate::firmware::Firmware;
use crate::machine::{Console, Machine, Network, OnReset};
use crate::smbios::comma_doubled;

/// What the options name.
pub(crate) struct Files {
    /// Sockets at which this process listens, for the monitor, the console and the channel.
    pub(crate) monitor: PathBuf,
    pub(crate) console: PathBuf,
    pub(crate) channel: PathBuf,
    /// Firmware code and the variable store of this machine, with their format.
    pub(crate) flash: Option<(PathBuf, PathBuf, Format)>,
    /// For each disk the file that QEMU opens, and its format.
    pub(crate) disks: Vec<(PathBuf, Format)>,
    /// For each forward the port of the host.
    pub(crate) host_ports: Vec<u16>,
    /// Values of `-smbios`.
    pub(crate) smbios: Vec<String>,
}

/// Processor model without KVM. See the measurements in `docs/adr/`: `max` has SHA-NI, which dm-verity uses, and more than
/// that; what it has too much of costs time on every page walk or is probed for at boot.
const TCG_CPU: &str = "max,la57=off,svm=off";

/// The arguments, in a form that a person can read when an error shows them.
pub(crate) fn arguments(machine: &Machine, accelerator: Accelerator, files: &Files) -> Vec<OsString> {
    let mut line = Line::default();
    line.option("-name", format!("{},process=slipway-{0}", comma_doubled(&machine.name)));
    line.flags(&["-nodefaults", "-no-user-config", "-S"]);
    line.option("-machine", "q35,smm=off,vmport=off");
    let (accel, cpu) = match accelerator {
        Accelerator::Kvm => ("kvm", "host"),
        Accelerator::Tcg => ("tcg,thread=multi", TCG_CPU),
    };
    line.option("-accel", accel);
    line.option("-cpu", machine.cpu_model.as_deref().unwrap_or(cpu));
    line.option("-smp", machine.cpus.to_string());
    line.option("-m", format!("{}M", machine.memory_mib));
    if machine.screen {
        // Without `-display`, QEMU takes a window if it was built with any, else VNC, and says so.
        line.option("-device", "virtio-vga");
        line.option("-device", "qemu-xhci");
        line.option("-device", "usb-kbd");
    } else {
        line.option("-display", "none");
    }
    ports(&mut line, machine, files);
    firmware(&mut line, machine, files);
    for (index, disk) in machine.disks.iter().enumerate() {
        let (path, format) = &files.disks[index];
        disk_options(&mut line, index, disk.bus, &disk.access, path, *format);
    }
    network(&mut line, machine, files);
    line.option("-device", "virtio-rng-pci");
    if machine.watchdog {
        line.option("-device", "i6300esb");
        line.option("-action", "watchdog=reset");
    }
    if machine.on_reset == OnReset::End {
        line.option("-action", "reboot=shutdown");
    }
    for value in &files.smbios {
        line.option("-smbios", value.as_str());
    }
    line.0.extend(machine.extra_arguments.iter().cloned());
    line.0
}

fn ports(line: &mut Line, machine: &Machine, files: &Files) {
    line.option("-chardev", option(&["socket,id=monitor,path="], &files.monitor));
    line.option("-mon", "chardev=monitor,mode=control");
    match machine.console {
        Console::Captured => line.option("-chardev", option(&["socket,id=console,path="], &files.console)),
        Console::Terminal => {
            let mut chardev = OsString::from("stdio,id=console,mux=on,signal=off");
            if let Some(file) = &machine.serial_file {
                chardev.push(option(&[",logappend=off,logfile="], file));
            }
            line.option("-chardev", chardev);
            line.option("-mon", "chardev=console,mode=readline");
        }
    }
    line.option("-device", "isa-serial,chardev=console");
    if machine.guest_channel {
        line.option("-chardev", option(&["socket,id=channel,path="], &files.channel));
        line.option("-device", "isa-serial,chardev=channel");
    }
}

fn firmware(line: &mut Line, machine: &Machine, files: &Files) {
    if let Some((code, variables, format)) = &files.flash {
        let code_options = ["if=pflash,unit=0,readonly=on,format=", format.name(), ",file="];
        line.option("-drive", option(&code_options, code));
        line.option("-drive", option(&["if=pflash,unit=1,format=", format.name(), ",file="], variables));
    }
    if let Firmware::Kernel { kernel, initrd, command_line } = &machine.firmware {
        line.option("-kernel", kernel.as_os_str());
        if let Some(initrd) = initrd {
            line.option("-initrd", initrd.as_os_str());
        }
        line.option("-append", command_line.as_str());
    }
}

fn disk_options(line: &mut Line, index: usize, bus: Bus, access: &Access, path: &Path, format: Format) {
    let caching = match access {
        // Nobody will read it again, so nothing needs to reach the host's disk.
        Access::ThrownAway => ",cache=unsafe",
        Access::ReadOnly => ",readonly=on",
        Access::Direct | Access::Overlay(_) => "",
    };
    let (id, nodes) = (format!("disk{index}"), Nodes::of(index));
    let start = format!(
        "if=none,id={id},node-name={},discard=unmap,detect-zeroes=unmap,format={}{caching},file.node-name={},file=",
        nodes.format,
        format.name(),
        nodes.file
    );
    line.option("-drive", option(&[&start], path));
    let device = match bus {
        Bus::Virtio => "virtio-blk-pci",
        Bus::Nvme => "nvme",
        Bus::Sata => "ide-hd",
    };
    // The first six SATA ports are those of the chipset.
    let place = if bus == Bus::Sata { format!(",bus=ide.{index}") } else { String::new() };
    line.option("-device", format!("{device},drive={id},serial=slipway-{id},bootindex={}{place}", index + 1));
}

fn network(line: &mut Line, machine: &Machine, files: &Files) {
    match &machine.network {
        Network::None => line.option("-nic", "none"),
        Network::User { restricted, forwards } => {
            let restrict = if *restricted { "on" } else { "off" };
            let ports = forwards.iter().zip(&files.host_ports);
            let netdev: Vec<String> = std::iter::once(format!("user,id=net0,restrict={restrict}"))
                .chain(ports.map(|(forward, host)| format!("hostfwd=tcp:127.0.0.1:{host}-:{}", forward.guest)))
                .collect();
            line.option("-netdev", netdev.join(","));
            // No option ROM: nothing boots from the network, and iPXE takes seconds.
            line.option("-device", "virtio-net-pci,netdev=net0,romfile=");
        }
    }
}

#[derive(Default)]
struct Line(Vec<OsString>);

impl Line {
    fn flags(&mut self, flags: &[&str]) {
        self.0.extend(flags.iter().map(OsString::from));
    }

    fn option(&mut self, name: &str, value: impl Into<OsString>) {
        self.0.push(name.into());
        self.0.push(value.into());
    }
}

/// An option's value that ends in a path, whose commas are doubled. Bytes that aren't UTF-8 pass as they are.
fn option(start: &[&str], path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let mut value = start.concat().into_bytes();
    for byte in path.as_os_str().as_bytes() {
        value.push(*byte);
        if *byte == b',' {
            value.push(b',');
        }
    }
    OsString::from_vec(value)
}

/// A command line that a shell would take.
pub(crate) fn shell_quoted(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(quoted).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=.,:/+~@%".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Disk;
    use crate::machine::Forward;

    fn files() -> Files {
        Files {
            monitor: "/t/qmp".into(),
            console: "/t/console".into(),
            channel: "/t/channel".into(),
            flash: None,
            disks: Vec::new(),
            host_ports: Vec::new(),
            smbios: Vec::new(),
        }
    }

    fn line(machine: &Machine, files: &Files) -> String {
        let mut command = Command::new("qemu");
        command.args(arguments(machine, Accelerator::Tcg, files));
        shell_quoted(&command)
    }

    fn has(machine: &Machine, files: &Files, wanted: &str) -> bool {
        format!(" {} ", line(machine, files)).contains(&format!(" {wanted} "))
    }

    #[test]
    fn the_least_machine_has_no_network_and_no_screen() {
        let line = line(&Machine::new("x"), &files());
        assert_eq!(
            line,
            "qemu -name x,process=slipway-x -nodefaults -no-user-config -S -machine q35,smm=off,vmport=off -accel \
             tcg,thread=multi -cpu max,la57=off,svm=off -smp 2 -m 2048M -display none -chardev \
             socket,id=monitor,path=/t/qmp -mon chardev=monitor,mode=control -chardev \
             socket,id=console,path=/t/console -device isa-serial,chardev=console -nic none -device virtio-rng-pci"
        );
    }

    #[test]
    fn each_bus_has_its_device_and_each_access_its_cache() {
        let machine = Machine::new("x")
            .disk(Disk::raw("a"))
            .disk(Disk::qcow2("b").on(Bus::Nvme).read_only())
            .disk(Disk::raw("c").on(Bus::Sata).thrown_away());
        let files = Files {
            disks: vec![("/d/a".into(), Format::Raw), ("/d/b".into(), Format::Qcow2), ("/d/c,1".into(), Format::Qcow2)],
            ..files()
        };
        for wanted in [
            "-drive if=none,id=disk0,node-name=disk0-format,discard=unmap,detect-zeroes=unmap,format=raw,\
             file.node-name=disk0-file,file=/d/a",
            "-device virtio-blk-pci,drive=disk0,serial=slipway-disk0,bootindex=1",
            "-drive if=none,id=disk1,node-name=disk1-format,discard=unmap,detect-zeroes=unmap,format=qcow2,readonly=on,\
             file.node-name=disk1-file,file=/d/b",
            "-device nvme,drive=disk1,serial=slipway-disk1,bootindex=2",
            "-drive if=none,id=disk2,node-name=disk2-format,discard=unmap,detect-zeroes=unmap,format=qcow2,cache=unsafe,\
             file.node-name=disk2-file,file=/d/c,,1",
            "-device ide-hd,drive=disk2,serial=slipway-disk2,bootindex=3,bus=ide.2",
        ] {
            assert!(has(&machine, &files, wanted), "{wanted} not in {}", line(&machine, &files));
        }
    }

    #[test]
    fn forwarded_ports_listen_on_loopback_only() {
        let forwards = vec![Forward { host: Some(2222), guest: 22 }, Forward { host: None, guest: 80 }];
        let machine = Machine::new("x").network(Network::User { restricted: true, forwards });
        let files = Files { host_ports: vec![2222, 40001], ..files() };
        let wanted = "-netdev user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=tcp:127.0.0.1:40001-:80";
        assert!(has(&machine, &files, wanted));
    }

    #[test]
    fn firmware_is_read_only_and_its_variables_are_not() {
        let files = Files { flash: Some(("/f/code".into(), "/t/vars".into(), Format::Raw)), ..files() };
        let machine = Machine::new("x");
        assert!(has(&machine, &files, "-drive if=pflash,unit=0,readonly=on,format=raw,file=/f/code"));
        assert!(has(&machine, &files, "-drive if=pflash,unit=1,format=raw,file=/t/vars"));
    }

    #[test]
    fn a_kernel_a_watchdog_a_channel_and_credentials() {
        let kernel = Firmware::Kernel {
            kernel: "/k".into(),
            initrd: Some("/i".into()),
            command_line: "console=ttyS0 quiet".into(),
        };
        let machine = Machine::new("x")
            .firmware(kernel)
            .with_watchdog()
            .with_guest_channel()
            .on_reset(OnReset::End)
            .argument("-snapshot");
        let files = Files { smbios: vec!["type=11,value=a".into()], ..files() };
        for wanted in [
            "-kernel /k -initrd /i -append 'console=ttyS0 quiet'",
            "-device i6300esb -action watchdog=reset",
            "-action reboot=shutdown",
            "-chardev socket,id=channel,path=/t/channel -device isa-serial,chardev=channel",
            "-smbios type=11,value=a",
            "-snapshot",
        ] {
            assert!(has(&machine, &files, wanted), "{wanted} not in {}", line(&machine, &files));
        }
    }

    #[test]
    fn the_terminal_console_shares_its_port_with_the_monitor() {
        let machine = Machine::new("x").console(Console::Terminal).serial_file("/l/a,b");
        let wanted = "-chardev stdio,id=console,mux=on,signal=off,logappend=off,logfile=/l/a,,b -mon chardev=console,mode=readline";
        assert!(has(&machine, &files(), wanted), "{}", line(&machine, &files()));
    }

    #[test]
    fn quoting_survives_a_shell() {
        assert_eq!(quoted(OsStr::new("it's")), r"'it'\''s'");
        assert_eq!(quoted(OsStr::new("")), "''");
        assert_eq!(quoted(OsStr::new("a=b,c")), "a=b,c");
    }
}
