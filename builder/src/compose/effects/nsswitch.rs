//! `/etc/nsswitch.conf`: libc's default, and what the `libnss-*` packages ask for in the sections that `dh_installnss`
//! wrote into their postinst (`# Installing DATABASE/SERVICE from PACKAGE in position POSITION`).

use super::Stage;
use crate::compose::ComposeError;

const PATH: &str = "/etc/nsswitch.conf";
/// Where libc-bin keeps the text that its postinst copies.
const TEMPLATE: &str = "/usr/share/libc-bin/nsswitch.conf";
/// The same for a root without libc-bin.
const DEFAULT: &str = "\
passwd:         files
group:          files
shadow:         files
gshadow:        files

hosts:          files dns
networks:       files

protocols:      db files
services:       db files
ethers:         db files
rpc:            db files

netgroup:       nis
";

pub(super) fn apply(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    let packages = stage.inputs.packages;
    let mut text = stage.text(TEMPLATE)?.unwrap_or_else(|| DEFAULT.to_owned());
    for package in packages {
        for request in requests(package.scripts.get("postinst").map_or("", String::as_str)) {
            text = install(&text, &request);
        }
    }
    stage.file(PATH, 0o644, text)
}

#[derive(Debug, PartialEq, Eq)]
struct Request<'a> {
    database: &'a str,
    service: &'a str,
    /// The action that follows the service, with its brackets.
    action: &'a str,
    position: Position<'a>,
}

#[derive(Debug, PartialEq, Eq)]
enum Position<'a> {
    First,
    Last,
    Before(&'a str),
    After(&'a str),
}

fn requests(script: &str) -> impl Iterator<Item = Request<'_>> {
    script.lines().filter_map(|line| {
        let rest = line.trim().strip_prefix("# Installing ")?;
        let (what, rest) = rest.split_once(" from ")?;
        let (_, position) = rest.split_once(" in position ")?;
        let (database, service) = what.split_once('/')?;
        let (service, action) = service.split_at(service.find('[').unwrap_or(service.len()));
        let position = match position.split_once('=') {
            Some(("before", other)) => Position::Before(other),
            Some(("after", other)) => Position::After(other),
            None if position == "first" => Position::First,
            None if position == "last" => Position::Last,
            _ => return None,
        };
        Some(Request { database, service, action, position })
    })
}

fn install(text: &str, request: &Request<'_>) -> String {
    let mut out = String::new();
    for line in text.lines() {
        match line.split_once(':') {
            Some((database, services)) if database == request.database && !services.contains('#') => {
                let padding = &services[..services.len() - services.trim_start().len()];
                let services = place(services, request).join(" ");
                out.extend([database, ":", padding, services.as_str(), "\n"]);
            }
            _ => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out
}

fn place<'a>(services: &'a str, request: &Request<'a>) -> Vec<&'a str> {
    let mut words: Vec<&str> = services.split_whitespace().collect();
    if words.contains(&request.service) {
        return words;
    }
    let find = |name: &str| words.iter().position(|word| *word == name);
    let at = match request.position {
        Position::First => Some(0),
        Position::Last => Some(words.len()),
        Position::Before(other) => find(other),
        // An action belongs to the service before it.
        Position::After(other) => {
            find(other).map(|at| at + 1 + usize::from(words.get(at + 1).is_some_and(|word| word.starts_with('['))))
        }
    };
    // Where the neighbour is missing dh_installnss changes nothing.
    if let Some(at) = at {
        if !request.action.is_empty() {
            words.insert(at, request.action);
        }
        words.insert(at, request.service);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_go_where_debhelper_puts_them() {
        let script = "
# Installing hosts/resolve[!UNAVAIL=return] from libnss-resolve in position before=dns
# Installing hosts/myhostname from libnss-myhostname in position after=files
# Installing passwd/systemd from libnss-systemd in position last
# Installing hosts/mymachines from libnss-mymachines in position after=nothing
";
        let mut text = DEFAULT.to_owned();
        for request in requests(script) {
            text = install(&text, &request);
            assert_eq!(install(&text, &request), text, "twice is once");
        }
        assert!(text.contains("passwd:         files systemd\n"), "{text}");
        assert!(text.contains("hosts:          files myhostname resolve [!UNAVAIL=return] dns\n"), "{text}");
    }
}
