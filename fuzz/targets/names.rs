//! Names, versions and times that come as text: whatever is taken is written as it came, orders agree with themselves, and nothing
//! that names a file leaves its folder.

#![no_main]

use std::fmt::Display;
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use slipway_images::calendar::Moment;
use slipway_images::digest::Digest;
use slipway_images::names::{BootEntryName, ImageId, PartitionLabel};
use slipway_images::release::{ChannelName, TargetName};
use slipway_images::tree::TreePath;
use slipway_images::verity::RootHash;
use slipway_images::version::Version;
use slipway_trust::time::UnixTime;
use slipway_trust::tuf::{HashPrefix, PathPattern, RoleName, TargetPath};

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (first, second) = text.split_once('\n').unwrap_or((text, ""));
    as_it_came::<ImageId>(first);
    as_it_came::<PartitionLabel>(first);
    as_it_came::<ChannelName>(first);
    as_it_came::<TreePath>(first);
    if let Some(entry) = as_it_came::<BootEntryName>(first) {
        assert!(!first.contains('/') && entry.path().ends_with(first));
    }
    if let Ok(moment) = first.parse::<Moment>() {
        assert_eq!(moment.rfc3339(), first);
        assert_eq!(UnixTime::from_iso(first).map(UnixTime::as_secs), Some(moment.seconds()));
    }
    let _ = (first.parse::<Digest>(), first.parse::<RootHash>(), HashPrefix::new(first));

    if let (Some(a), Some(b)) = (as_it_came::<Version>(first), as_it_came::<Version>(second)) {
        assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        assert_eq!(a == b, a.cmp(&b).is_eq());
    }
    if let Some(target) = TargetName::of_path(first) {
        assert!(!first.contains(['/', '\0']) && (target.channel().is_some() != target.release().is_some()));
    }
    if let Ok(role) = RoleName::new(first) {
        assert!(!role.file_name().contains('/'));
        assert_eq!(RoleName::of_file_name(&role.file_name()), Some(role));
    }
    let _ = RoleName::of_file_name(first);
    if let Ok(path) = TargetPath::new(first) {
        assert!(!first.split('/').any(|part| matches!(part, "" | "." | "..")));
        assert!(PathPattern::new("*/".repeat(first.matches('/').count()) + "*").matches(&path));
        let _ = PathPattern::new(second.to_owned()).matches(&path);
    }
});

fn as_it_came<T: FromStr + Display>(text: &str) -> Option<T> {
    let read = text.parse::<T>().ok()?;
    assert_eq!(read.to_string(), text);
    Some(read)
}
