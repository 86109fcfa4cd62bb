//! Containers that the image carries: loaded into Docker when it lacks them, and run by a unit each.

use std::fmt::Write as _;
use std::io::Read;

use serde::Deserialize;
use slipway_images::content::Content;

use super::Stage;
use crate::compose::ComposeError;
use crate::recipe::Container;

/// An archive of `docker save` names its images in here.
#[derive(Deserialize)]
struct Manifest {
    #[serde(rename = "Config")]
    config: String,
}

/// No image has a longer list of its own parts; a larger one is damaged.
const MAX_MANIFEST: u64 = 1 << 20;

pub(super) fn apply(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    for (container, archive) in stage.inputs.containers {
        let name = &container.name;
        let path = format!("/usr/share/slipway/containers/{name}.tar");
        let id = image_id(archive).ok_or_else(|| stage.problem(format!("container `{name}`: no image archive")))?;
        stage.content(&path, 0o644, archive.clone())?;
        let load = format!("slipway-load-{name}.service");
        for unit in [&load, &format!("{name}.service")] {
            if stage.has(&format!("/usr/lib/systemd/system/{unit}"))? {
                return Err(stage.problem(format!("container `{name}`: a package brings a unit `{unit}` already")));
            }
        }
        stage.unit(&load, &load_unit(name, &path, &id), &["multi-user.target"])?;
        if container.run {
            stage.unit(&format!("{name}.service"), &run_unit(container, &load), &["multi-user.target"])?;
        }
    }
    Ok(())
}

/// The digest of the image's configuration, by which Docker calls it.
fn image_id(archive: &Content) -> Option<String> {
    let mut members = tar::Archive::new(archive.reader());
    for member in members.entries().ok()? {
        let member = member.ok()?;
        if member.path().ok()?.to_str()?.trim_start_matches("./") != "manifest.json" {
            continue;
        }
        let mut text = String::new();
        member.take(MAX_MANIFEST).read_to_string(&mut text).ok()?;
        let manifests: Vec<Manifest> = serde_json::from_str(&text).ok()?;
        let config = &manifests.first()?.config;
        let digest = config.rsplit('/').next()?.trim_end_matches(".json");
        let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        return is_digest.then(|| digest.to_owned());
    }
    None
}

fn load_unit(name: &str, path: &str, id: &str) -> String {
    format!(
        "[Unit]\nDescription=Image of container {name}\nRequires=docker.service\nAfter=docker.service\n\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\n\
         ExecStart=/bin/sh -c 'docker image inspect --format ok sha256:{id} >/dev/null 2>&1 \
         || exec docker load --quiet --input {path}'\n\
         ExecStart=/usr/bin/docker image tag sha256:{id} {name}:latest\n"
    )
}

fn run_unit(container: &Container, load: &str) -> String {
    let name = &container.name;
    let mut words = vec!["--rm".to_owned(), "--init".to_owned(), format!("--name={name}")];
    words.push(format!("--network={}", container.network));
    words.extend(container.ports.iter().map(|port| format!("--publish={port}")));
    words.extend(container.volumes.iter().map(|volume| format!("--volume={volume}")));
    words.extend(container.environment.iter().map(|(key, value)| format!("--env={key}={value}")));
    words.push(format!("{name}:latest"));
    words.extend(container.command.iter().cloned());
    let mut command = String::new();
    for word in &words {
        let _ = write!(command, " {}", quote(word));
    }
    format!(
        "[Unit]\nDescription=Container {name}\nRequires=docker.service {load}\nAfter=docker.service {load}\n\n\
         [Service]\nExecStartPre=-/usr/bin/docker rm --force {name}\nExecStart=/usr/bin/docker run{command}\n\
         ExecStop=/usr/bin/docker stop {name}\nRestart=always\nRestartSec=5s\nTimeoutStartSec=infinity\n"
    )
}

/// A word of a command line in a unit file (systemd.service(5)): nothing in it is a specifier, a variable or a break.
fn quote(word: &str) -> String {
    let mut quoted = "\"".to_owned();
    for letter in word.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '%' => quoted.push_str("%%"),
            '$' => quoted.push_str("$$"),
            '\n' => quoted.push_str("\\n"),
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
#[path = "containers_tests.rs"]
mod tests;
