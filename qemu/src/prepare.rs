//! What has to be made on the host before a machine starts: overlays, variable stores, ports.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use crate::disk::{Access, Format};
use crate::error::QemuError;
use crate::firmware::{Firmware, Ovmf, Variables};
use crate::machine::{Machine, Network};
use crate::program::make_overlay;

/// For each disk the file that QEMU opens, and its format. Overlays that live as long as the machine go to `folder`.
pub(crate) fn disks(machine: &Machine, folder: &Path) -> Result<Vec<(PathBuf, Format)>, QemuError> {
    let prepared = machine.disks.iter().enumerate().map(|(index, disk)| {
        if !disk.path.exists() {
            return Err(machine.wrong(format!("there is no disk {}", disk.path.display())));
        }
        let overlay = match &disk.access {
            Access::Direct | Access::ReadOnly => return Ok((disk.path.clone(), disk.format)),
            Access::ThrownAway => folder.join(format!("disk{index}.qcow2")),
            Access::Overlay(path) => path.clone(),
        };
        if !overlay.exists() {
            make_overlay(&disk.path, disk.format.name(), &overlay)?;
        }
        Ok((overlay, Format::Qcow2))
    });
    prepared.collect()
}

/// Code and variable store, for UEFI.
pub(crate) fn flash(machine: &Machine, folder: &Path) -> Result<Option<(PathBuf, PathBuf, Format)>, QemuError> {
    let Firmware::Uefi(variables) = &machine.firmware else { return Ok(None) };
    let ovmf = Ovmf::find()?;
    let store = match variables {
        Variables::Fresh => folder.join("variables"),
        Variables::At(path) => path.clone(),
    };
    if !store.exists() {
        // Not `fs::copy`: the template may be read-only, and so would be its copy.
        let template = fs::read(&ovmf.variables).map_err(QemuError::io("read", &ovmf.variables))?;
        fs::write(&store, template).map_err(QemuError::io("write", &store))?;
    }
    let format = ovmf.format();
    Ok(Some((ovmf.code, store, format)))
}

/// Pairs of host and guest ports. A free port could be taken by another program before QEMU has it; then QEMU says so and ends.
pub(crate) fn host_ports(machine: &Machine) -> Result<Vec<(u16, u16)>, QemuError> {
    let Network::User { forwards, .. } = &machine.network else { return Ok(Vec::new()) };
    // All are held until all are found, so that none is found twice.
    let mut held = Vec::new();
    let ports = forwards.iter().map(|forward| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, forward.host.unwrap_or(0)));
        let bound = listener.and_then(|listener| {
            let port = listener.local_addr()?.port();
            held.push(listener);
            Ok(port)
        });
        let wish = forward.host.map_or_else(|| "any port".to_owned(), |port| format!("port {port}"));
        let host = bound.map_err(|error| machine.wrong(format!("{wish} of the host cannot be had: {error}")))?;
        Ok((host, forward.guest))
    });
    ports.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::disk::Disk;
    use crate::machine::Forward;

    #[test]
    fn an_overlay_leaves_its_base_alone_and_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let (base, overlay) = (folder.path().join("base,1.raw"), folder.path().join("kept.qcow2"));
        fs::write(&base, vec![7; 1 << 20]).unwrap();
        let machine = Machine::new("x").disk(Disk::raw(&base).overlay(&overlay)).disk(Disk::raw(&base).thrown_away());
        let prepared = disks(&machine, folder.path()).unwrap();
        assert_eq!(prepared[0], (overlay.clone(), Format::Qcow2));
        assert_eq!(prepared[1], (folder.path().join("disk1.qcow2"), Format::Qcow2));
        let first = fs::read(&overlay).unwrap();
        assert_eq!(&first[..4], b"QFI\xfb");
        fs::write(&overlay, "used since").unwrap();
        disks(&machine, folder.path()).unwrap();
        assert_eq!(fs::read(&overlay).unwrap(), b"used since");
        assert_eq!(fs::read(&base).unwrap(), vec![7; 1 << 20]);
    }

    #[test]
    fn a_missing_disk_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let machine = Machine::new("host").disk(Disk::raw("/nowhere/disk.raw"));
        let error = disks(&machine, folder.path()).unwrap_err().to_string();
        assert_eq!(error, "machine `host`: there is no disk /nowhere/disk.raw");
    }

    #[test]
    fn ports_are_free_and_differ_or_are_named() {
        let any = |guest| Forward { host: None, guest };
        let machine = |forwards| Machine::new("x").network(Network::User { restricted: false, forwards });
        let ports = host_ports(&machine(vec![any(22), any(80)])).unwrap();
        assert!(ports[0].0 != ports[1].0 && ports[0].1 == 22 && ports[1].1 == 80);
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = host_ports(&machine(vec![Forward { host: Some(port), guest: 22 }])).unwrap_err().to_string();
        assert!(error.contains(&format!("port {port} of the host cannot be had")), "{error}");
    }
}
