#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use tar::Builder;

use super::*;

const LIMITS: Limits = Limits { bytes: 1 << 20, members: 100 };

fn header(kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(42);
    header.set_size(size);
    header
}

/// Sets a name without the checks of the `tar` crate.
fn name(header: &mut Header, name: &[u8]) {
    header.as_mut_bytes()[..100].fill(0);
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_cksum();
}

fn archive(members: &[(EntryType, &[u8], &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (kind, path, data) in members {
        let mut header = header(*kind, data.len() as u64);
        name(&mut header, path);
        builder.append(&header, *data).unwrap();
    }
    builder.into_inner().unwrap()
}

fn read(bytes: &[u8]) -> Result<Vec<(Member, Vec<u8>)>, ArchiveError> {
    let mut members = Vec::new();
    read_members(bytes, &LIMITS, |member, content| {
        let mut data = Vec::new();
        content.read_to_end(&mut data).map_err(ArchiveError::Read)?;
        members.push((member, data));
        Ok::<(), ArchiveError>(())
    })?;
    Ok(members)
}

fn refusal(bytes: &[u8]) -> String {
    read(bytes).unwrap_err().to_string()
}

fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut data = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let mut len = rest + 1;
        while len != rest + len.to_string().len() {
            len = rest + len.to_string().len();
        }
        data.extend(format!("{len} {key}=").into_bytes());
        data.extend(*value);
        data.push(b'\n');
    }
    data
}

#[test]
fn names_are_cleaned_and_content_is_handed_out() {
    let bytes = archive(&[(EntryType::Directory, b"./", b""), (EntryType::Regular, b"./usr//bin/./x", b"hello")]);
    let members = read(&bytes).unwrap();
    assert_eq!(members[0].0.path, "");
    assert_eq!(members[0].0.kind, MemberKind::Folder);
    assert_eq!(members[1].0.path, "usr/bin/x");
    assert_eq!((members[1].0.uid, members[1].0.gid, members[1].0.mode), (0, 42, 0o644));
    assert_eq!(members[1].1, b"hello");
}

#[test]
fn names_that_leave_the_tree_are_refused() {
    for bad in [&b"../etc/passwd"[..], b"usr/../../x", b"/etc/passwd", b"\xff\xfe"] {
        assert!(read(&archive(&[(EntryType::Regular, bad, b"")])).is_err(), "{bad:?}");
    }
}

#[test]
fn gnu_long_names_and_pax_records_apply_to_the_next_member_only() {
    let long = format!("usr/share/{}", "d/".repeat(100));
    let capability = b"\x01\x00\x00\x02\n\x0a=\x00";
    let bytes = archive(&[
        (EntryType::GNULongName, b"././@LongLink", format!("{long}x\0").as_bytes()),
        (EntryType::Regular, b"short", b"1"),
        (
            EntryType::XHeader,
            b"PaxHeaders/x",
            &pax(&[("path", "usr/größe".as_bytes()), ("SCHILY.xattr.security.capability", capability), ("uid", b"7")]),
        ),
        (EntryType::Regular, b"ascii", b"22"),
        (EntryType::Regular, b"plain", b""),
    ]);
    let members = read(&bytes).unwrap();
    assert_eq!(members[0].0.path, format!("{long}x"));
    assert_eq!(members[1].0.path, "usr/größe");
    assert_eq!(members[1].0.uid, 7);
    assert_eq!(members[1].0.xattrs["security.capability"], capability);
    assert_eq!(members[2].0.path, "plain");
    assert!(members[2].0.xattrs.is_empty());
}

#[test]
fn links_and_devices_are_read() {
    let mut builder = Builder::new(Vec::new());
    let mut link = header(EntryType::Symlink, 0);
    link.set_link_name_literal("../x").unwrap();
    name(&mut link, b"a");
    builder.append(&link, io::empty()).unwrap();
    let mut hard = header(EntryType::Link, 0);
    hard.set_link_name_literal("./a").unwrap();
    name(&mut hard, b"b");
    builder.append(&hard, io::empty()).unwrap();
    let mut device = header(EntryType::Char, 0);
    device.set_device_major(1).unwrap();
    device.set_device_minor(3).unwrap();
    name(&mut device, b"dev/null");
    builder.append(&device, io::empty()).unwrap();
    let kinds: Vec<MemberKind> =
        read(&builder.into_inner().unwrap()).unwrap().into_iter().map(|(member, _)| member.kind).collect();
    let expected = [MemberKind::Symlink("../x".into()), MemberKind::HardLink("a".into()), MemberKind::CharDevice(1, 3)];
    assert_eq!(kinds, expected);
}

#[test]
fn what_two_readers_could_understand_differently_is_refused() {
    let size = archive(&[(EntryType::XHeader, b"p", &pax(&[("size", b"1")])), (EntryType::Regular, b"x", b"longer")]);
    assert!(refusal(&size).contains("PAX size"));
    let sparse =
        archive(&[(EntryType::XHeader, b"p", &pax(&[("GNU.sparse.major", b"1")])), (EntryType::Regular, b"x", b"")]);
    assert!(refusal(&sparse).contains("sparse"));
    assert!(refusal(&archive(&[(EntryType::GNUSparse, b"x", b"")])).contains("kind"));
    assert!(refusal(&archive(&[(EntryType::Fifo, b"x", b"data")])).contains("content"));
    assert!(refusal(&archive(&[(EntryType::XGlobalHeader, b"g", &pax(&[("path", b"x")]))])).contains("global"));
}

#[test]
fn limits_hold_before_anything_is_read() {
    let mut big = header(EntryType::Regular, 1 << 40);
    name(&mut big, b"big");
    assert!(matches!(read(big.as_bytes()), Err(ArchiveError::TooLarge { .. })));
    let mut long = header(EntryType::GNULongName, 1 << 40);
    name(&mut long, b"long");
    assert!(refusal(long.as_bytes()).contains("1 MiB"));
    let many: Vec<(EntryType, &[u8], &[u8])> = vec![(EntryType::Directory, b"d", b""); 101];
    assert!(matches!(read(&archive(&many)), Err(ArchiveError::TooMany(100))));
}

#[test]
fn an_archive_that_is_cut_off_is_noticed() {
    let bytes = archive(&[(EntryType::Regular, b"x", &[7; 5000])]);
    assert!(read(&bytes[..512 + 4999]).is_err());
    assert!(read(&bytes[..700]).is_err());
}

proptest! {
    #[test]
    fn damaged_archives_never_panic(at in 0usize..4096, to in any::<u8>(), cut in 0usize..4096) {
        let mut bytes = archive(&[
            (EntryType::GNULongName, b"././@LongLink", b"some/long/name\0"),
            (EntryType::Regular, b"x", b"content"),
            (EntryType::XHeader, b"p", &pax(&[("path", b"y"), ("uid", b"3")])),
            (EntryType::Regular, b"y", b""),
        ]);
        let at = at % bytes.len();
        bytes[at] = to;
        // The checksum is made right again, so that the damage reaches the parser.
        let start = at / 512 * 512;
        let mut header = Header::new_gnu();
        header.as_mut_bytes().copy_from_slice(&bytes[start..start + 512]);
        header.set_cksum();
        bytes[start..start + 512].copy_from_slice(header.as_bytes());
        let _ = read(&bytes);
        let _ = read(&bytes[..bytes.len() - cut % bytes.len()]);
    }

    #[test]
    fn random_pax_headers_never_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = pax_records(&data);
    }
}
