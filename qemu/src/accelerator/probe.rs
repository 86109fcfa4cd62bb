//! The probe: does an accelerator really run a guest?
//!
//! The guest is a firmware of 233 bytes ([`PAYLOAD`], assembled from `probe.S`): real mode, long mode, paging, memory, SSE2 and
//! BMI2, and out through QEMU's debug-exit port. It takes a tenth of a second.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Accelerator;
use crate::process::Process;
use crate::program::Program;

/// A working accelerator needs 0.1 s; one that stopped the guest leaves QEMU waiting for ever.
const DEADLINE: Duration = Duration::from_secs(5);

/// QEMU's exit status when the guest writes 0x2a to the debug-exit port: 0x2a * 2 + 1.
const PASSED: i32 = 85;

/// Firmware must be a multiple of 64 KiB; its end is mapped at the end of the first MiB.
const ROM_SIZE: usize = 0x1_0000;
const PAYLOAD_AT: usize = 0xfe00;
const RESET_VECTOR_AT: usize = 0xfff0;

/// `ljmp $0xf000, $0xfe00`: into the part of the ROM that lies below 1 MiB.
const RESET_VECTOR: [u8; 5] = [0xea, 0x00, 0xfe, 0x00, 0xf0];

/// `probe.S`, assembled; a test compares.
#[rustfmt::skip]
const PAYLOAD: [u8; 233] = [
    0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x66, 0xc7, 0x06, 0x00, 0x10, 0x03, 0x20, 0x00, 0x00, 0x66, 0xc7, 0x06, 0x00, 0x20, 0x03,
    0x30, 0x00, 0x00, 0x66, 0xc7, 0x06, 0x00, 0x30, 0x83, 0x00, 0x00, 0x00, 0x8e, 0xc0, 0xb8, 0x00, 0xf0, 0x8e, 0xd8, 0xbe,
    0x70, 0xfe, 0xbf, 0x00, 0x70, 0xb9, 0x79, 0x00, 0xfc, 0xf3, 0xa4, 0x8c, 0xc1, 0x8e, 0xd9, 0x66, 0x0f, 0x01, 0x16, 0x10,
    0x70, 0x0f, 0x20, 0xe0, 0x0d, 0x20, 0x02, 0x0f, 0x22, 0xe0, 0x66, 0xb8, 0x00, 0x10, 0x00, 0x00, 0x0f, 0x22, 0xd8, 0x66,
    0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x32, 0x0d, 0x00, 0x01, 0x0f, 0x30, 0x0f, 0x20, 0xc0, 0x66, 0x0d, 0x01, 0x00, 0x00,
    0x80, 0x0f, 0x22, 0xc0, 0x66, 0xea, 0x16, 0x70, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x9a, 0x20, 0x00, 0x0f, 0x00, 0x00, 0x70, 0x00, 0x00, 0x48, 0xb9, 0x30, 0x50, 0x49, 0x53,
    0x4c, 0x41, 0x57, 0x51, 0x48, 0x89, 0x0c, 0x25, 0x00, 0x80, 0x00, 0x00, 0x48, 0x8b, 0x34, 0x25, 0x00, 0x80, 0x00, 0x00,
    0x48, 0x39, 0xce, 0x75, 0x3d, 0x66, 0x48, 0x0f, 0x6e, 0xc1, 0x66, 0x0f, 0xd4, 0xc0, 0x66, 0x48, 0x0f, 0x7e, 0xc0, 0x48,
    0x01, 0xce, 0x48, 0x39, 0xc6, 0x75, 0x27, 0xb8, 0x07, 0x00, 0x00, 0x00, 0x31, 0xc9, 0x0f, 0xa2, 0x0f, 0xba, 0xe3, 0x08,
    0x73, 0x14, 0xb8, 0x03, 0x00, 0x00, 0x00, 0xb9, 0x04, 0x00, 0x00, 0x00, 0xc4, 0xe2, 0xf1, 0xf7, 0xd0, 0x83, 0xfa, 0x30,
    0x75, 0x04, 0xb0, 0x2a, 0xeb, 0x02, 0xb0, 0x01, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd,
];

/// Runs the probe guest; the error says what happened to it.
pub(super) fn run(program: &Program, accelerator: Accelerator) -> Result<(), String> {
    let prepared = tempfile::tempdir().and_then(|folder| {
        let rom = folder.path().join("probe.rom");
        fs::write(&rom, rom_image())?;
        let errors = fs::File::create(folder.path().join("stderr"))?;
        Ok((folder, rom, errors))
    });
    let (folder, rom, errors) = prepared.map_err(|error| format!("the probe guest cannot be written: {error}"))?;
    let mut command = Command::new(program.path());
    command
        .args(["-nodefaults", "-no-user-config", "-machine", "pc", "-m", "16", "-display", "none", "-no-reboot"])
        .args([
            "-cpu",
            "max",
            "-device",
            "isa-debug-exit,iobase=0xf4,iosize=1",
            "-accel",
            &accelerator.to_string(),
            "-bios",
        ])
        .arg(rom)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors);
    let mut process =
        Process::spawn(&mut command).map_err(|error| format!("the probe guest cannot be started: {error}"))?;
    let ended = process.ended_by(Instant::now() + DEADLINE);
    let status = process.kill().map_err(|error| format!("the probe guest cannot be awaited: {error}"))?;
    match ended {
        Ok(true) if status.code() == Some(PASSED) => Ok(()),
        Ok(true) => Err(format!("the probe guest failed ({status}){}", first_line(folder.path()))),
        _ => Err(format!("the probe guest stopped{}", first_line(folder.path()))),
    }
}

fn first_line(folder: &std::path::Path) -> String {
    let text = fs::read_to_string(folder.join("stderr")).unwrap_or_default();
    // Warnings on features that the host lacks come first and are of no interest.
    text.lines().find(|line| !line.contains("warning:")).map(|line| format!(": {line}")).unwrap_or_default()
}

fn rom_image() -> Vec<u8> {
    let mut rom = vec![0; ROM_SIZE];
    rom[PAYLOAD_AT..PAYLOAD_AT + PAYLOAD.len()].copy_from_slice(&PAYLOAD);
    rom[RESET_VECTOR_AT..RESET_VECTOR_AT + RESET_VECTOR.len()].copy_from_slice(&RESET_VECTOR);
    rom
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_source() {
        let folder = tempfile::tempdir().unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/accelerator/probe.S");
        let assemble =
            "as --32 \"$1\" -o probe.o && ld -m elf_i386 -Ttext 0xfe00 --oformat binary -o probe.bin probe.o";
        let status = Command::new("sh").args(["-c", assemble, "sh", source]).current_dir(&folder).status().unwrap();
        assert!(status.success(), "binutils are needed, as for linking this test");
        assert_eq!(fs::read(folder.path().join("probe.bin")).unwrap(), PAYLOAD);
    }

    #[test]
    fn the_translator_passes() {
        run(&Program::find().unwrap(), Accelerator::Tcg).unwrap();
    }

    #[test]
    fn a_qemu_that_says_nothing_good_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let fake = folder.path().join("qemu");
        fs::write(
            &fake,
            "#!/bin/sh\ncase $1 in --version) echo QEMU emulator version 10.0.0;; *) echo 'x: warning: y' >&2; echo KVM internal error >&2; exit 1;; esac\n",
        )
        .unwrap();
        fs::set_permissions(&fake, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let error = run(&Program::at(&fake).unwrap(), Accelerator::Kvm).unwrap_err();
        assert_eq!(error, "the probe guest failed (exit status: 1): KVM internal error");
    }
}
