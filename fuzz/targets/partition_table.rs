//! Partition tables of a hostile disk. What is read lies where partitions may lie; what is changed and written back reads as the
//! same from either copy; and a survey of the whole disk, if it comes to one, says that what was started runs.
//!
//! The first byte says whether the checksums are made right after the damage, so that what is behind them is reached.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_fuzz::disk::{BOOTED, Disk};
use slipway_fuzz::first;
use slipway_images::disk::{PartGuid, PartitionNumber, PartitionTable, TableCopy, TableImage};
use slipway_updater::disk::device::{BlockDevice, Window};
use slipway_updater::disk::survey::Survey;
use uuid::Uuid;

fuzz_target!(|input: &[u8]| {
    let Some((kind, changes)) = input.split_first() else { return };
    let mut disk = Disk::good();
    disk.damage(0, changes);
    if kind & 1 == 1 {
        disk.reseal_tables();
    }
    first(|| assert!(Survey::read(&Disk::good(), BOOTED).is_ok()));
    if let Ok(survey) = Survey::read(&disk, BOOTED) {
        assert_eq!(survey.running().root_hash(), Some(BOOTED));
    }
    let Ok(table) = PartitionTable::read(&mut Window::whole(&disk)) else { return };
    assert_sound(&table);

    let Ok(mut image) = TableImage::read(&mut Window::whole(&disk), table.copy) else { return };
    let _ = image.rename(PartitionNumber(u32::from(*kind)), PartGuid(Uuid::nil()), "edge-web_2", Default::default());
    let Ok(copies) = image.copies() else { return };
    for extent in copies.iter().flat_map(|copy| [&copy.entries, &copy.header]) {
        disk.write_all_at(&extent.bytes, extent.offset).expect("it is on the disk");
    }
    let [primary, backup] = [TableCopy::Primary, TableCopy::Backup]
        .map(|copy| PartitionTable::read_copy(&mut Window::whole(&disk), copy).expect("what was written is valid"));
    assert_eq!(primary.partitions, backup.partitions);
    assert_eq!(primary.partitions.len(), table.partitions.len());
});

fn assert_sound(table: &PartitionTable) {
    let mut spans: Vec<_> = table.partitions.iter().map(|partition| (partition.first, partition.last)).collect();
    spans.sort();
    assert!(
        spans.iter().all(|(first, last)| table.first_usable <= *first && first <= last && *last <= table.last_usable)
    );
    assert!(spans.windows(2).all(|pair| pair[0].1 < pair[1].0), "partitions overlap");
}
