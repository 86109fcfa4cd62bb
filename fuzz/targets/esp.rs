//! An EFI system partition in any state: both readers of it, and what the agent plans and writes. Whatever it is in, a file that
//! was added is there whole, one that was removed is gone, and what was mended needs no mending.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_fuzz::disk::{Disk, ESP};
use slipway_fuzz::first;
use slipway_images::digest::Digest;
use slipway_images::esp::{list, read};
use slipway_updater::disk::device::Window;
use slipway_updater::disk::durable::DurableWriter;
use slipway_updater::esp::Esp;

const NEW: &str = "edge-web_2026.11.22+3.efi";
const OLD: &str = "edge-web_2026.10.9+2-1.efi";

fuzz_target!(|input: &[u8]| {
    let mut disk = Disk::good();
    disk.damage(ESP.start, input);
    let mut window = Window::new(&disk, ESP.start, ESP.end - ESP.start);
    for entry in list(&mut window).into_iter().flatten().take(6) {
        if let Ok(content) = read(&mut window, &entry.path, 1 << 16) {
            // Two files may have one name.
            assert!(content.len() <= 1 << 16);
        }
    }

    first(|| {
        let good = Disk::good();
        assert!(Esp::open(&good, ESP).is_ok_and(|esp| count(&esp, &good) == 1));
    });
    let Ok(mut esp) = Esp::open(&disk, ESP) else { return };
    let mut writer = DurableWriter::new(disk);
    writer.permit(vec![ESP], Vec::new());
    if esp.mend(&mut writer).is_ok() {
        let again = Esp::open(writer.device(), ESP).expect("what was mended can be read");
        assert!(again.condition(writer.device()).is_ok_and(|condition| !condition.needs_mending));
    }
    let content = vec![7; 1000 + 40 * input.len().min(200)];
    let (digest, size) = (Digest::of(&content), content.len() as u64);
    if esp.add(&mut writer, NEW, size, digest, &mut content.as_slice()).is_ok() {
        let again = Esp::open(writer.device(), ESP).expect("what was written can be read");
        assert_eq!(again.digest(writer.device(), NEW).expect("it was added"), (digest, size));
    }
    let before = count(&esp, writer.device());
    if esp.remove(&mut writer, OLD).is_ok() {
        let again = Esp::open(writer.device(), ESP).expect("what was written can be read");
        assert!(count(&again, writer.device()) < before);
    }
    let _ = esp.rename(&mut writer, NEW, "edge-web_2026.11.22.efi");
});

/// How many files are called so.
fn count(esp: &Esp, device: &Disk) -> usize {
    esp.entries(device).map_or(0, |files| files.iter().filter(|file| file.name == OLD).count())
}
