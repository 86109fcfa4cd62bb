//! Names of servers. A static program can't use the C library's resolver: that loads the system's own modules, which want another
//! library than the one it carries. So `/etc/hosts` is read here, and everything else is systemd-resolved's to find, by its
//! varlink interface (`io.systemd.Resolve(7)`), with all it knows of caches, split networks and encryption.
//!
//! What comes may be forged: it says whom to ask, and signatures say what is true. An answer is at most [`ANSWER_MAX`] bytes, and
//! waited for no longer than [`PATIENCE`].

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Where systemd-resolved listens.
const RESOLVED: &str = "/run/systemd/resolve/io.systemd.Resolve";
const ANSWER_MAX: u64 = 64 << 10;
const HOSTS_MAX: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(20);
/// As many as the client takes.
const ADDRESSES_MAX: usize = 16;

/// Finds addresses.
#[derive(Debug)]
pub struct HostResolver {
    hosts: PathBuf,
    resolved: PathBuf,
    system: DefaultResolver,
}

impl Default for HostResolver {
    fn default() -> Self {
        Self { hosts: "/etc/hosts".into(), resolved: RESOLVED.into(), system: DefaultResolver::default() }
    }
}

impl Resolver for HostResolver {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().unwrap_or_default();
        let is_https = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let found = match self.addresses(host) {
            Ok(found) if !found.is_empty() => found,
            // Only a program that isn't static can ask the system.
            _ if cfg!(not(target_feature = "crt-static")) => return self.system.resolve(uri, config, timeout),
            Ok(_) => return Err(Error::HostNotFound),
            Err(error) => return Err(Error::Io(error)),
        };
        let mut addresses = self.empty();
        for address in found.into_iter().take(ADDRESSES_MAX) {
            addresses.push(SocketAddr::new(address, port));
        }
        Ok(addresses)
    }
}

impl HostResolver {
    fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            return Ok(vec![address]);
        }
        if host.eq_ignore_ascii_case("localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let listed = in_hosts(&self.hosts, host);
        if listed.is_empty() { ask(&self.resolved, host) } else { Ok(listed) }
    }
}

/// The addresses that `/etc/hosts` has for a name.
fn in_hosts(path: &Path, host: &str) -> Vec<IpAddr> {
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(HOSTS_MAX).read_to_string(&mut text));
    let line = |line: &str| {
        let mut words = line.split('#').next()?.split_ascii_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|name| name.eq_ignore_ascii_case(host)).then_some(address)
    };
    read.map(|_| text.lines().filter_map(line).collect()).unwrap_or_default()
}

/// What systemd-resolved answers.
#[derive(Deserialize)]
struct Answer {
    error: Option<String>,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Default, Deserialize)]
struct Parameters {
    #[serde(default)]
    addresses: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    address: Vec<u8>,
}

/// Asks systemd-resolved.
fn ask(socket: &Path, host: &str) -> io::Result<Vec<IpAddr>> {
    let mut stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::other(format!("{host}: systemd-resolved isn't here to find it")),
        _ => error,
    })?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let parameters = serde_json::json!({ "name": host, "flags": 0 });
    let call = serde_json::json!({ "method": "io.systemd.Resolve.ResolveHostname", "parameters": parameters });
    stream.write_all(format!("{call}\0").as_bytes())?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(ANSWER_MAX)).read_until(0, &mut answer)?;
    let answer = answer.strip_suffix(&[0]).ok_or(io::ErrorKind::UnexpectedEof)?;
    let Answer { error, parameters } = serde_json::from_slice(answer)?;
    if let Some(error) = error {
        return Err(io::Error::other(format!("{host}: {error}")));
    }
    let address = |Address { address }: Address| match address.len() {
        4 => <[u8; 4]>::try_from(address).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(address).ok().map(IpAddr::from),
        _ => None,
    };
    Ok(parameters.addresses.into_iter().filter_map(address).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::net::UnixListener;

    use super::*;

    /// A resolver beside a service that gives this answer once.
    fn resolver(answer: &'static str) -> (HostResolver, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let (hosts, resolved) = (folder.path().join("hosts"), folder.path().join("socket"));
        std::fs::write(&hosts, "# updates 10.0.0.9\n10.0.0.1 cache Updates.local # mine\nfe80::1 cache\nx y\n")
            .unwrap();
        let listener = UnixListener::bind(&resolved).unwrap();
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut call = Vec::new();
            BufReader::new(&stream).read_until(0, &mut call).unwrap();
            assert!(String::from_utf8_lossy(&call).contains(r#""name":"updates.example""#));
            (&stream).write_all(answer.as_bytes()).unwrap();
        });
        (HostResolver { hosts, resolved, system: DefaultResolver::default() }, folder)
    }

    #[test]
    fn addresses_and_known_hosts_are_not_asked_for() {
        let (resolver, _folder) = resolver("");
        let found = |host| resolver.addresses(host).unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(found("192.0.2.7"), ["192.0.2.7"]);
        assert_eq!(found("[2001:db8::1]"), ["2001:db8::1"]);
        assert_eq!(found("cache"), ["10.0.0.1", "fe80::1"]);
        assert_eq!(found("updates.LOCAL"), ["10.0.0.1"]);
        assert_eq!(found("localhost"), ["127.0.0.1", "::1"]);
    }

    #[test]
    fn other_names_are_resolved_s() {
        let answer = "{\"parameters\":{\"addresses\":[{\"ifindex\":2,\"family\":2,\"address\":[192,0,2,1]},\
            {\"family\":10,\"address\":[1,2]}],\"name\":\"updates.example\",\"flags\":1}}\0";
        let (good, _folder) = resolver(answer);
        assert_eq!(good.addresses("updates.example").unwrap(), [IpAddr::from([192, 0, 2, 1])]);
        for bad in ["{\"error\":\"io.systemd.Resolve.DNSError\",\"parameters\":{}}\0", "{}", "[]\0", ""] {
            let (resolver, _folder) = resolver(bad);
            assert!(resolver.addresses("updates.example").is_err(), "{bad}");
        }
    }
}
