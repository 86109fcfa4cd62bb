//! The disk of the host: read for what is on it, and written through one durable writer.

pub mod device;
pub mod durable;
pub mod survey;

use std::ops::Range;

use slipway_images::digest::Digest;
use slipway_images::disk::{
    CopyBytes, EditError, PartGuid, PartitionTable, TableCopy, TableError, TableImage, slot_attributes,
};
use slipway_images::names::BootEntryName;
use slipway_images::verity::RootHash;

use self::device::{BlockDevice, Window};
use self::durable::{DurableWriter, Kept, WriteError};
use self::survey::{Survey, SurveyError, TableState};
use crate::esp::{Esp, EspError};
use crate::release::Target;
use crate::source::{OldKernel, Places};

/// Why the disk can't be changed.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// It could not be read.
    #[error(transparent)]
    Survey(#[from] SurveyError),
    /// The ESP.
    #[error(transparent)]
    Esp(#[from] EspError),
    /// The partition table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The partition table can't be changed as it should.
    #[error("can't change the partition table")]
    Edit(#[from] EditError),
    /// A write.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What is going to be written, and so what is opened for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Both copies of the partition table.
    Tables,
    /// The ESP, all but the running system's entry and kernel.
    Esp,
    /// The ESP, the running system's entry too, but not its kernel.
    RunningEntry,
    /// The two partitions of the slot that doesn't run.
    Slot,
}

/// The disk that runs the system with a certain root hash.
#[derive(Debug)]
pub struct Disk<D> {
    writer: DurableWriter<D>,
    booted: RootHash,
}

impl<D: BlockDevice> Disk<D> {
    /// The disk, of which `booted` runs.
    pub fn new(device: D, booted: RootHash) -> Self {
        Self { writer: DurableWriter::new(device), booted }
    }

    /// The device, for reading.
    pub fn device(&self) -> &D {
        self.writer.device()
    }

    /// The root hash of what runs.
    pub fn booted(&self) -> RootHash {
        self.booted
    }

    /// Looks at what is there.
    pub fn survey(&self) -> Result<Survey, SurveyError> {
        Survey::read(self.device(), self.booted)
    }

    /// Opens the two partitions of the slot that doesn't run, and nothing else.
    pub(crate) fn open_slot(&mut self) -> Result<(&mut DurableWriter<D>, Survey), DiskError> {
        let survey = self.permit(Purpose::Slot)?;
        Ok((&mut self.writer, survey))
    }

    /// Makes both copies of the partition table valid and equal. The one that firmware and initrd would take is right.
    pub fn repair_tables(&mut self) -> Result<(), DiskError> {
        let survey = self.permit(Purpose::Tables)?;
        let [primary, backup] = self.valid_table()?.copies()?;
        match survey.tables {
            TableState::Same => Ok(()),
            TableState::PrimaryDamaged => self.write_copy(&primary),
            TableState::BackupDamaged | TableState::Differ => self.write_copy(&backup),
        }
    }

    /// Gives the slot that doesn't run the label and the GUIDs of an image. The backup goes first: as long as the primary
    /// copy is whole, the backup is not looked at.
    pub fn label_other(&mut self, target: &Target) -> Result<(), DiskError> {
        let survey = self.permit(Purpose::Tables)?;
        let mut table = self.valid_table()?;
        let label = target.label.to_string();
        let slot = survey.other();
        let guids = [PartGuid(target.root_hash.root_part_guid()), PartGuid(target.root_hash.verity_part_guid())];
        for (partition, guid) in [&slot.root, &slot.verity].into_iter().zip(guids) {
            table.rename(partition.number, guid, &label, slot_attributes(true))?;
        }
        let [primary, backup] = table.copies()?;
        self.write_copy(&backup)?;
        self.write_copy(&primary)
    }

    /// Frees lost clusters, removes what `fsck` left, and takes away the mark of an interrupted change.
    pub fn mend_esp(&mut self) -> Result<(), DiskError> {
        let mut esp = self.open_esp(Purpose::Esp)?;
        Ok(esp.mend(&mut self.writer)?)
    }

    /// Removes boot entries of this image that lead nowhere, or are there twice.
    pub fn remove_leftovers(&mut self) -> Result<(), DiskError> {
        for name in self.survey()?.leftovers {
            let mut esp = self.open_esp(Purpose::Esp)?;
            esp.remove(&mut self.writer, &name.to_string())?;
        }
        Ok(())
    }

    /// Removes the boot entry of the slot that doesn't run: nothing boots it any more.
    pub fn remove_other_entry(&mut self) -> Result<(), DiskError> {
        if let Some(name) = self.survey()?.other().entry.clone() {
            let mut esp = self.open_esp(Purpose::Esp)?;
            esp.remove(&mut self.writer, &name.to_string())?;
        }
        Ok(())
    }

    /// Adds a boot entry with its kernel image.
    pub fn add_entry(
        &mut self,
        name: &BootEntryName,
        target: &Target,
        kernel: &mut dyn std::io::Read,
    ) -> Result<(), DiskError> {
        let mut esp = self.open_esp(Purpose::Esp)?;
        Ok(esp.add(&mut self.writer, &name.to_string(), target.kernel_size, target.kernel, kernel)?)
    }

    /// Renames the running system's boot entry: the only write that touches it, and it leaves the kernel image alone.
    pub fn rename_running_entry(&mut self, to: &BootEntryName) -> Result<(), DiskError> {
        let survey = self.survey()?;
        let Some(from) = &survey.running().entry else { return Err(SurveyError::NoEntry.into()) };
        if from == to {
            return Ok(());
        }
        let mut esp = self.open_esp(Purpose::RunningEntry)?;
        Ok(esp.rename(&mut self.writer, &from.to_string(), &to.to_string())?)
    }

    /// The kernel image that runs, as it is on the ESP.
    pub fn running_kernel(&self) -> Result<OldKernel, DiskError> {
        let survey = self.survey()?;
        let name = survey.running().entry.as_ref().ok_or(SurveyError::NoEntry)?.to_string();
        let esp = Esp::open(self.device(), bytes_of(&survey.esp))?;
        let (digest, size) = esp.digest(self.device(), &name)?;
        let places = esp.content_places(self.device(), &name)?;
        let offset = survey.esp.start;
        let disk = self.device().reader().map_err(|source| EspError::Read { offset, source })?;
        Ok(OldKernel { digest, size, bytes: Places::new(disk, places) })
    }

    /// Whether the kernel image of the slot that doesn't run is this one. What can't be read is another one.
    pub fn other_kernel_is(&self, kernel: Digest, survey: &Survey) -> bool {
        let Some(entry) = &survey.other().entry else { return false };
        let esp = Esp::open(self.device(), bytes_of(&survey.esp));
        let found = esp.and_then(|esp| esp.digest(self.device(), &entry.to_string()));
        found.is_ok_and(|(digest, _)| digest == kernel)
    }

    fn open_esp(&mut self, purpose: Purpose) -> Result<Esp, DiskError> {
        let survey = self.permit(purpose)?;
        Ok(Esp::open(self.device(), bytes_of(&survey.esp))?)
    }

    /// Opens what a purpose needs, and nothing of what runs.
    fn permit(&mut self, purpose: Purpose) -> Result<Survey, DiskError> {
        let survey = self.survey()?;
        let open = match purpose {
            Purpose::Tables => vec![0..survey.usable.start, survey.usable.end..self.device().size()],
            Purpose::Esp | Purpose::RunningEntry => vec![bytes_of(&survey.esp)],
            Purpose::Slot => vec![bytes_of(&survey.other().root), bytes_of(&survey.other().verity)],
        };
        let keep = |range, what| Kept { range, what };
        let running = survey.running();
        let mut kept =
            vec![keep(bytes_of(&running.root), "running root"), keep(bytes_of(&running.verity), "running hash tree")];
        kept.push(keep(0..512, "master boot record"));
        if let Some(entry) = &running.entry {
            let esp = Esp::open(self.device(), bytes_of(&survey.esp))?;
            let name = entry.to_string();
            let kernel = esp.content_places(self.device(), &name)?;
            kept.extend(kernel.into_iter().map(|range| keep(range, "running kernel image")));
            if purpose == Purpose::Esp {
                let places = esp.name_places(self.device(), &name)?;
                kept.extend(places.into_iter().map(|range| keep(range, "running system's boot entry")));
            }
        }
        self.writer.permit(open, kept);
        Ok(survey)
    }

    /// The copy of the table that everybody takes: the primary if it is valid.
    fn valid_table(&self) -> Result<TableImage, DiskError> {
        let read = |copy| TableImage::read(&mut Window::whole(self.device()), copy);
        match read(TableCopy::Primary).or_else(|_| read(TableCopy::Backup)) {
            Ok(table) => Ok(table),
            // Says of both copies what is wrong.
            Err(_) => match PartitionTable::read(&mut Window::whole(self.device())) {
                Err(error) => Err(error.into()),
                Ok(_) => Err(SurveyError::Changed.into()),
            },
        }
    }

    fn write_copy(&mut self, copy: &CopyBytes) -> Result<(), DiskError> {
        self.writer.write(copy.entries.offset, &copy.entries.bytes)?;
        self.writer.write(copy.header.offset, &copy.header.bytes)?;
        Ok(self.writer.sync()?)
    }
}

/// The bytes of a partition, from the start of the disk.
pub fn bytes_of(partition: &slipway_images::disk::Partition) -> Range<u64> {
    partition.start..partition.start + partition.size
}
