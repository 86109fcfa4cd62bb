//! Texts that stand for something: sizes, times, modes, names, ports. Each function says what is wrong and what to write.

use std::time::Duration;

use slipway_images::host::{AuthorizedKey, FromText, HostName, SysctlName};
use slipway_images::tree::TreePath;

/// Why a text is not what it should be.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Completes "`KEY` …".
    pub why: String,
    /// What to write instead.
    pub help: String,
}

type Parsed<T> = Result<T, Wrong>;

fn wrong<T>(why: impl Into<String>, help: impl Into<String>) -> Parsed<T> {
    Err(Wrong { why: why.into(), help: help.into() })
}

/// The systemd unit types that can be started (systemd.unit(5)).
const UNIT_SUFFIXES: [&str; 11] =
    ["service", "socket", "target", "timer", "path", "mount", "automount", "swap", "slice", "scope", "device"];

/// `512M`, `8G`: bytes in powers of 1024.
pub fn size(text: &str) -> Parsed<u64> {
    let help = "write a number and `K`, `M`, `G` or `T` (powers of 1024): `8G`, say";
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match text.get(digits.len()..) {
        Some("") => 0,
        Some("K" | "KiB") => 10,
        Some("M" | "MiB") => 20,
        Some("G" | "GiB") => 30,
        Some("T" | "TiB") => 40,
        _ => return wrong(format!("cannot be `{text}`, which is no size"), help),
    };
    let count = if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse::<u64>().ok() } else { None };
    match count.and_then(|count| count.checked_mul(1 << shift)) {
        Some(0) => wrong("cannot be zero", help),
        Some(bytes) => Ok(bytes),
        None => wrong(format!("cannot be `{text}`, which is no size"), help),
    }
}

/// `500ms`, `30s`, `5m`, `1h`, or several of them: `1m30s`.
pub fn duration(text: &str) -> Parsed<Duration> {
    let bad = || {
        wrong(
            format!("cannot be `{text}`, which is no time span"),
            "write a number and `ms`, `s`, `m` or `h`: `30s`, say",
        )
    };
    let mut rest = text;
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return bad();
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let Ok(number) = number.parse::<u32>() else { return bad() };
        let one = match unit {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" | "min" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            _ => return bad(),
        };
        total = match one.checked_mul(number).and_then(|part| total.checked_add(part)) {
            Some(total) => total,
            None => return bad(),
        };
        rest = tail;
    }
    Ok(total)
}

/// `0644`: permission bits in octal digits.
pub fn mode(text: &str) -> Parsed<u16> {
    let octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    match u16::from_str_radix(text, 8) {
        Ok(mode) if octal => Ok(mode),
        _ => wrong(format!("cannot be `{text}`, which is no mode"), "write three or four octal digits: `0644`, say"),
    }
}

/// A path in the image.
pub fn tree_path(text: &str) -> Parsed<TreePath> {
    match TreePath::new(text) {
        Ok(path) if text != "/" => Ok(path),
        _ => {
            let cleaned = TreePath::root().resolve_link(text);
            let help = if cleaned == TreePath::root() {
                "write a path from the root on: `/etc/motd`, say".to_owned()
            } else {
                format!("write `{cleaned}`")
            };
            wrong(format!("cannot be `{text}`, which is no absolute path without `.`, `..` and empty parts"), help)
        }
    }
}

/// A user's or group's name, as systemd and shadow take it.
pub fn account(text: &str) -> Parsed<String> {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let rest = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte));
    if first && rest && text.len() <= 31 {
        Ok(text.to_owned())
    } else {
        wrong(
            format!("cannot be `{text}`"),
            "a user's or group's name has at most 31 of a-z, 0-9, `_` and `-`, and begins with a letter or `_`",
        )
    }
}

/// An owner or group of a file: a name or a number.
pub fn owner(text: &str) -> Parsed<String> {
    if text.parse::<u32>().is_ok_and(|id| id != u32::MAX) { Ok(text.to_owned()) } else { account(text) }
}

/// A systemd unit, with its suffix.
pub fn unit(text: &str) -> Parsed<String> {
    let valid = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    match text.rsplit_once('.') {
        Some((name, suffix))
            if UNIT_SUFFIXES.contains(&suffix) && !name.is_empty() && text.len() <= 255 && text.chars().all(valid) =>
        {
            Ok(text.to_owned())
        }
        _ if !text.is_empty()
            && text.chars().all(valid)
            && !UNIT_SUFFIXES.iter().any(|suffix| text.ends_with(suffix)) =>
        {
            wrong(
                format!("names no unit: `{text}` has no suffix"),
                format!("write `{text}.service`, or `.socket`, `.timer`, `.target`, `.mount` …"),
            )
        }
        _ => wrong(
            format!("cannot be `{text}`, which is no unit"),
            "write the unit's name with its suffix: `docker.service`, say",
        ),
    }
}

/// A Debian package's name (Debian policy, 5.6.1).
pub fn package(text: &str) -> Parsed<String> {
    let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if first && text.len() >= 2 && text.bytes().all(valid) {
        Ok(text.to_owned())
    } else {
        let lower = text.to_lowercase();
        let help = if lower != text && lower.bytes().all(valid) {
            format!("package names are lower case: `{lower}`")
        } else {
            "a package's name has a-z, 0-9, `+`, `-` and `.`: `docker.io`, say".to_owned()
        };
        wrong(format!("names `{text}`, which is no package"), help)
    }
}

/// `name`, `name=version` or `name/suite`.
pub fn package_request(text: &str) -> Parsed<String> {
    let (name, rest) = match text.find(['=', '/']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    package(name)?;
    let valid = |c: char| c.is_ascii_alphanumeric() || ".+-:~".contains(c);
    match rest {
        Some(rest) if rest.is_empty() || !rest.chars().all(valid) => {
            wrong(format!("cannot be `{text}`"), format!("write `{name}`, `{name}=VERSION` or `{name}/SUITE`"))
        }
        _ => Ok(text.to_owned()),
    }
}

/// An address with one of these schemes and a host (none for `file`).
pub fn url(text: &str, schemes: &[&str]) -> Parsed<String> {
    let valid = text.split_once("://").is_some_and(|(scheme, rest)| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host_fits = if scheme == "file" { host.is_empty() && rest.len() > 1 } else { !host.is_empty() };
        schemes.contains(&scheme) && host_fits && !text.chars().any(|c| c.is_whitespace() || c.is_control())
    });
    if valid {
        Ok(text.to_owned())
    } else {
        let starts = schemes.iter().map(|scheme| format!("`{scheme}://`")).collect::<Vec<_>>().join(" or ");
        wrong(format!("cannot be `{text}`, which is no address"), format!("write an address that begins with {starts}"))
    }
}

/// `HOST:PORT`, with brackets around an IPv6 address.
pub fn host_and_port(text: &str) -> Parsed<String> {
    let valid = text.rsplit_once(':').is_some_and(|(host, port)| {
        let bracketed = host.starts_with('[') && host.ends_with(']');
        !host.is_empty() && (bracketed || !host.contains(':')) && !host.contains(['/', ' ']) && is_port(port)
    });
    if valid {
        Ok(text.to_owned())
    } else {
        wrong(format!("cannot be `{text}`"), "write `HOST:PORT`: `127.0.0.1:22`, say")
    }
}

/// `[ADDRESS:]HOST:CONTAINER[/udp]`
pub fn published_port(text: &str) -> Parsed<String> {
    let ports = text.strip_suffix("/udp").or_else(|| text.strip_suffix("/tcp")).unwrap_or(text);
    let valid = ports.rsplit_once(':').is_some_and(|(host, container)| {
        let (address, host) = host.rsplit_once(':').map_or((None, host), |(address, host)| (Some(address), host));
        let address_fits = address.is_none_or(|address| {
            address.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>().is_ok()
        });
        address_fits && is_port(host) && is_port(container)
    });
    if valid {
        Ok(text.to_owned())
    } else {
        wrong(
            format!("cannot hold `{text}`"),
            "write `HOST:CONTAINER` with ports from 1 to 65535: `80:8080`, or `53:53/udp`, say",
        )
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// `HOST:CONTAINER[:ro]`, both absolute.
pub fn volume(text: &str) -> Parsed<String> {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [host, container] | [host, container, "ro" | "rw"]
            if TreePath::new(host).is_ok() && TreePath::new(container).is_ok() =>
        {
            Ok(text.to_owned())
        }
        _ => wrong(
            format!("cannot hold `{text}`"),
            "write `HOST:CONTAINER` or `HOST:CONTAINER:ro` with absolute paths: `/var/lib/web:/data`, say",
        ),
    }
}

/// A host name (RFC 1123), one label or several.
pub fn hostname(text: &str) -> Parsed<String> {
    shared::<HostName>(text)
}

/// A container's name: that of an image repository in a registry (OCI distribution specification) without slashes.
pub fn container(text: &str) -> Parsed<String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = [text.bytes().next(), text.bytes().last()].iter().all(|end| end.is_some_and(plain));
    let doubled = ["--", "__", "..", "-_", "_-", ".-", "-.", "._", "_."].iter().any(|pair| text.contains(pair));
    if ends && !doubled && text.len() <= 64 && text.bytes().all(|byte| plain(byte) || b"-_.".contains(&byte)) {
        Ok(text.to_owned())
    } else {
        wrong(
            format!("cannot be `{text}`"),
            "a container's name has a-z and 0-9, with single `-`, `_` or `.` between: `web-1`, say",
        )
    }
}

/// A pattern over paths of the image.
pub fn path_pattern(text: &str) -> Parsed<String> {
    if !text.starts_with('/') {
        return wrong(format!("cannot hold `{text}`"), format!("patterns begin at the root: `/{text}`"));
    }
    pattern(text)
}

/// A pattern.
fn pattern(text: &str) -> Parsed<String> {
    match glob::Pattern::new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => wrong(
            format!("cannot hold `{text}`: {}", error.msg),
            "`*` stands for anything within a name, and `**` alone between slashes for any folders",
        ),
    }
}

/// A kernel module's name, or a pattern over paths.
pub fn module(text: &str) -> Parsed<String> {
    if text.contains('/') && !text.starts_with('/') { pattern(text) } else { module_name(text) }
}

/// A kernel module's name.
pub fn module_name(text: &str) -> Parsed<String> {
    let stem = text.split(".ko").next().unwrap_or(text);
    if text.contains(".ko") {
        return wrong(format!("cannot hold `{text}`"), format!("a module's name has no `.ko`: `{stem}`"));
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_*".contains(&byte)) {
        Ok(text.to_owned())
    } else {
        wrong(
            format!("cannot hold `{text}`"),
            "write a module's name, `br_netfilter`, or a pattern below `kernel/`: `net/bridge/**`, say",
        )
    }
}

/// One word of the kernel's command line that is the user's to set.
pub fn kernel_word(text: &str) -> Parsed<String> {
    const OURS: [&str; 6] = ["root", "roothash", "rootfstype", "ro", "rw", "init"];
    let key = text.split('=').next().unwrap_or(text);
    if OURS.contains(&key) {
        return wrong(format!("cannot hold `{text}`"), format!("leave it out: the builder sets `{key}` itself"));
    }
    let quoted = text.contains('"') && text.matches('"').count().is_multiple_of(2);
    if text.is_empty() || text.chars().any(char::is_control) || (text.contains(char::is_whitespace) && !quoted) {
        return wrong(format!("cannot hold `{text}`"), "write one word an item: `[\"console=ttyS0\", \"quiet\"]`, say");
    }
    Ok(text.to_owned())
}

/// A password in crypt(5) form. A password in clear must not slip through.
pub fn password_hash(text: &str) -> Parsed<String> {
    let parts: Vec<&str> = text.split('$').collect();
    let valid = parts.len() >= 4 && parts[0].is_empty() && parts[1..].iter().all(|part| !part.is_empty());
    if valid && !text.contains([':', '\n', ' ']) {
        Ok(text.to_owned())
    } else {
        // The text itself may be a password, so it is not repeated.
        wrong(
            "is no password hash",
            "write what `openssl passwd -6` prints, which begins with `$6$`; never the password itself",
        )
    }
}

/// A line of an `authorized_keys` file.
pub fn authorized_key(text: &str) -> Parsed<String> {
    shared::<AuthorizedKey>(text)
}

/// A sysctl's name (sysctl.d(5)).
pub fn sysctl_name(text: &str) -> Parsed<String> {
    shared::<SysctlName>(text)
}

/// What machine configurations have as well.
fn shared<T: FromText>(text: &str) -> Parsed<String> {
    T::from_text(text).map(|_| text.to_owned()).map_err(|wrong| Wrong { why: wrong.why, help: wrong.help })
}

/// One line, no control characters.
pub fn line(text: &str) -> Parsed<String> {
    if text.chars().any(char::is_control) {
        wrong("must be one line", "leave line ends and control characters out")
    } else {
        Ok(text.to_owned())
    }
}

/// A word: not empty, no blanks, slashes or control characters.
pub fn word(text: &str) -> Parsed<String> {
    if text.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '/') {
        wrong(format!("cannot be `{text}`"), "write one word without blanks and slashes")
    } else {
        Ok(text.to_owned())
    }
}

/// A suite of an archive; some have a slash (`stable/updates`).
pub fn suite(text: &str) -> Parsed<String> {
    let valid = |c: char| c.is_ascii_alphanumeric() || "-./_~".contains(c);
    if !text.is_empty() && text.chars().all(valid) && !text.starts_with('/') && !text.contains("..") {
        Ok(text.to_owned())
    } else {
        wrong(format!("cannot be `{text}`, which is no suite"), "write its name: `trixie-security`, say")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(size("8G"), Ok(8 << 30));
        assert_eq!(size("512MiB"), Ok(512 << 20));
        assert_eq!(size("4096"), Ok(4096));
        for bad in ["", "G", "8GB", "-8G", "8 G", "0M", "99999999999T", "8.5G"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn time_spans_add_up() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for bad in ["", "30", "s", "3 s", "30S", "-1s", "99999999999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(mode("0644"), Ok(0o644));
        assert_eq!(mode("4755"), Ok(0o4755));
        for bad in ["", "64", "0888", "+644", "00644", "rw-"] {
            assert!(mode(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_what_they_should_be() {
        assert!(unit("getty@tty1.service").is_ok() && unit("docker").is_err() && unit(".service").is_err());
        assert!(unit("docker").unwrap_err().help.contains("`docker.service`"));
        assert!(package_request("nginx=1.26.3-3+b1").is_ok() && package_request("curl/trixie-backports").is_ok());
        assert!(
            package_request("curl=").is_err() && package_request("Curl").is_err() && package_request("a b").is_err()
        );
        assert!(published_port("80:8080").is_ok() && published_port("127.0.0.1:53:53/udp").is_ok());
        assert!(
            published_port("8080").is_err() && published_port("0:80").is_err() && published_port("80:70000").is_err()
        );
        assert!(volume("/var/a:/b:ro").is_ok() && volume("a:/b").is_err() && volume("/a:/b:rx").is_err());
        assert!(
            url("https://h/x", &["https"]).is_ok()
                && url("ftp://h/x", &["https"]).is_err()
                && url("https:///x", &["https"]).is_err()
        );
        assert!(host_and_port("[::1]:22").is_ok() && host_and_port("::1:22").is_err() && host_and_port("h").is_err());
        assert!(kernel_word("quiet").is_ok() && kernel_word("root=/dev/sda").is_err() && kernel_word("a b").is_err());
        assert!(module("net/bridge/**").is_ok() && module("ahci.ko").is_err());
    }

    #[test]
    fn secrets_are_neither_taken_nor_repeated() {
        let error = password_hash("hunter2").unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"));
        assert!(password_hash("$6$salt$abcdef").is_ok() && password_hash("$y$j9T$salt$hash").is_ok());
        assert!(authorized_key("ssh-ed25519 AAAAC3Nz me").is_ok());
        assert!(authorized_key("restrict,command=\"x y\" ssh-rsa AAAAB3 me").is_ok());
        assert!(authorized_key("-----BEGIN OPENSSH PRIVATE KEY-----").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_any_of_them_panic(text in "\\PC{0,24}") {
            let _ = (size(&text), duration(&text), mode(&text), tree_path(&text), owner(&text), unit(&text));
            let _ = (package_request(&text), url(&text, &["http"]), host_and_port(&text), published_port(&text));
            let _ = (volume(&text), hostname(&text), container(&text), path_pattern(&text), module(&text));
            let _ = (kernel_word(&text), password_hash(&text), authorized_key(&text), sysctl_name(&text), suite(&text));
        }
    }
}
