#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use super::*;
use crate::recipe::ContainerImage;

fn archive(manifest: &str) -> Content {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, text) in [("other.json", "{}"), ("manifest.json", manifest)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    Content::from_bytes(builder.into_inner().unwrap())
}

#[test]
fn the_image_is_known_by_the_digest_of_its_configuration() {
    let digest = "ab".repeat(32);
    for config in [format!("{digest}.json"), format!("blobs/sha256/{digest}")] {
        assert_eq!(image_id(&archive(&format!("[{{\"Config\":\"{config}\"}}]"))), Some(digest.clone()));
    }
    for bad in ["[]", "{", "[{\"Config\":\"../../etc/passwd\"}]"] {
        assert_eq!(image_id(&archive(bad)), None, "{bad}");
    }
    assert_eq!(image_id(&Content::from_bytes(*b"no tar")), None);
}

#[test]
fn nothing_in_a_command_is_expanded_by_systemd() {
    let container = Container {
        name: "web".to_owned(),
        image: ContainerImage::Package("busybox-static".to_owned()),
        run: true,
        command: vec!["sh".to_owned(), "-c".to_owned(), "echo \"$HOME\" 100%\\".to_owned()],
        ports: vec!["80:8080".to_owned()],
        volumes: vec!["/var/lib/web:/data:ro".to_owned()],
        environment: BTreeMap::from([("A".to_owned(), "b c".to_owned())]),
        network: "bridge".to_owned(),
    };
    let unit = run_unit(&container, "slipway-load-web.service");
    let line = unit.lines().find(|line| line.starts_with("ExecStart=")).unwrap();
    assert_eq!(
        line,
        "ExecStart=/usr/bin/docker run \"--rm\" \"--init\" \"--name=web\" \"--network=bridge\" \"--publish=80:8080\" \
         \"--volume=/var/lib/web:/data:ro\" \"--env=A=b c\" \"web:latest\" \"sh\" \"-c\" \
         \"echo \\\"$$HOME\\\" 100%%\\\\\""
    );
}
