//! What archives say in text: control paragraphs, versions, relations between packages. Versions are ordered, relations are written
//! as they were read, and a record that is taken can be asked for.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use slipway_builder::apt::record_from_control;
use slipway_builder::deb::control::{paragraph, paragraphs};
use slipway_builder::deb::relation::{is_package_name, parse_dependencies, parse_relations};
use slipway_builder::deb::version::DebVersion;
use slipway_fuzz::{first, raw_or_damaged};
use slipway_images::digest::Digest;

const GOOD: [&str; 3] = [
    "Package: libssl3t64\nSource: openssl (3.5.4-1)\nVersion: 3.5.4-1~deb13u1\nArchitecture: amd64\nPre-Depends: dpkg (>= 1.15)\n\
     Depends: libc6 (>= 2.38), a | b:any (<< 2:1)\nConflicts: c (= 1)\nDescription: short\n long\n .\n more\n\nPackage: next\nVersion: 1\n",
    "1:2.41-12+deb13u1\n1:2.41~rc1-12\n0\n",
    "libc6 (>= 2.38), default-dbus-session-bus|dbus-session-bus , python3:any(>=3.9~),\n g++-14 (<<15), a0 (= 1:2-3),",
];

fuzz_target!(|input: &[u8]| {
    let bytes = raw_or_damaged(input, &GOOD);
    let Ok(text) = std::str::from_utf8(&bytes) else { return };
    let from: (Arc<str>, Arc<str>) = ("debian".into(), "trixie".into());
    first(|| {
        let good = paragraph(GOOD[0]).expect("the paragraph is good");
        record_from_control(&good, from.clone(), "pool/x.deb", (1, Digest::of(b""))).expect("the record is good");
        assert_eq!(parse_dependencies(GOOD[2]).expect("the relations are good").len(), 5);
    });
    for found in paragraphs(text).flatten() {
        assert!(found.fields().all(|(name, value)| !name.is_empty() && value.trim_ascii_end() == value));
        if let Ok(record) = record_from_control(&found, from.clone(), "pool/x.deb", (1, Digest::of(b""))) {
            assert!(is_package_name(&record.name));
            let _ = (parse_dependencies(&record.depends), parse_relations(&record.provides));
        }
    }
    let _ = paragraph(text);

    if let Ok(groups) = parse_dependencies(text) {
        let written: Vec<String> =
            groups.iter().map(|group| group.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")).collect();
        assert_eq!(parse_dependencies(&written.join(", ")).expect("it was written here"), groups);
    }

    let versions: Vec<DebVersion> = text.lines().take(3).filter_map(|line| line.parse().ok()).collect();
    let [a, b, c] = &versions[..] else { return };
    assert_eq!(a.cmp(b), b.cmp(a).reverse());
    assert_eq!(a.as_str().parse::<DebVersion>().as_ref(), Ok(a));
    if a <= b && b <= c {
        assert!(a <= c, "{a} <= {b} <= {c}");
    }
});
