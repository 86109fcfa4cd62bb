//! `[[network]]`: what a network card is told, in the words of systemd.network(5).

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use serde::Deserialize;
use serde::de::Deserializer;
use slipway_images::host::{FromText, WrongText, text};

use super::problem::Problem;

/// An entry `[[network]]` as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkShape {
    name: Option<CardName>,
    mac: Option<Mac>,
    dhcp: Option<Dhcp>,
    #[serde(default)]
    addresses: Vec<Prefix>,
    #[serde(default)]
    gateways: Vec<Address>,
    #[serde(default)]
    dns: Vec<Address>,
    #[serde(default)]
    domains: Vec<Domain>,
    #[serde(default)]
    routes: Vec<Route>,
    mtu: Option<Mtu>,
}

/// A network card, or several, and how they are configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    name: Option<CardName>,
    mac: Option<Mac>,
    dhcp: Dhcp,
    addresses: Vec<Prefix>,
    gateways: Vec<Address>,
    dns: Vec<Address>,
    domains: Vec<Domain>,
    routes: Vec<Route>,
    mtu: Option<Mtu>,
}

/// A route to somewhere else than everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    to: Prefix,
    via: Address,
}

/// Which kinds of address are asked for by DHCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dhcp {
    /// None.
    No,
    /// Both.
    Yes,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
}

/// A card's name, or a pattern of names: `enp1s0`, `en*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardName(String);

/// A hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac([u8; 6]);

/// An IP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(IpAddr);

/// An address with the length of its network: `192.0.2.10/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    address: IpAddr,
    bits: u8,
}

/// A domain in which names are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain(String);

/// Bytes of the largest packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct Mtu(u32);

impl Network {
    /// Of an entry that says which card is meant, and how it gets an address; else what is missing.
    pub fn from_shape(shape: NetworkShape) -> Result<Self, &'static str> {
        if shape.name.is_none() && shape.mac.is_none() {
            return Err("`network` says no card: write `name = \"en*\"` or `mac = \"52:54:00:12:34:56\"`");
        }
        let dhcp = shape.dhcp.unwrap_or(if shape.addresses.is_empty() { Dhcp::Yes } else { Dhcp::No });
        if dhcp == Dhcp::No && shape.addresses.is_empty() {
            return Err("`network` has no address: write `addresses = [\"192.0.2.10/24\"]`, or `dhcp = true`");
        }
        let NetworkShape { name, mac, addresses, gateways, dns, domains, routes, mtu, .. } = shape;
        Ok(Self { name, mac, dhcp, addresses, gateways, dns, domains, routes, mtu })
    }

    /// The entry as a file of systemd-networkd.
    pub fn to_unit(&self) -> String {
        let mut text =
            "# Made at every boot from the machine's configuration: slipway-agent config show\n[Match]\n".to_owned();
        let mut line = |words: fmt::Arguments<'_>| {
            // Writing to a string does not fail.
            let _ = text.write_fmt(words);
            text.push('\n');
        };
        if let Some(name) = &self.name {
            line(format_args!("Name={}", name.0));
        }
        if let Some(mac) = &self.mac {
            line(format_args!("PermanentMACAddress={mac}"));
        }
        if let Some(mtu) = &self.mtu {
            line(format_args!("\n[Link]\nMTUBytes={}", mtu.0));
        }
        line(format_args!("\n[Network]\nDHCP={}", self.dhcp));
        for address in &self.addresses {
            line(format_args!("Address={address}"));
        }
        for server in &self.dns {
            line(format_args!("DNS={}", server.0));
        }
        if !self.domains.is_empty() {
            let domains: Vec<&str> = self.domains.iter().map(|domain| domain.0.as_str()).collect();
            line(format_args!("Domains={}", domains.join(" ")));
        }
        for gateway in &self.gateways {
            line(format_args!("\n[Route]\nGateway={}{}", gateway.0, self.on_link(*gateway)));
        }
        for Route { to, via } in &self.routes {
            line(format_args!("\n[Route]\nDestination={to}\nGateway={}{}", via.0, self.on_link(*via)));
        }
        if self.dhcp != Dhcp::No {
            line(format_args!("\n[DHCPv4]\nUseDomains=yes"));
        }
        text
    }

    /// A gateway outside of the card's own networks is on its wire all the same, or it would be none.
    fn on_link(&self, gateway: Address) -> &'static str {
        let near = self.dhcp != Dhcp::No || self.addresses.iter().any(|prefix| prefix.contains(gateway.0));
        if near { "" } else { "\nGatewayOnLink=yes" }
    }

    fn card(&self) -> (Option<&str>, Option<Mac>) {
        (self.name.as_ref().map(|name| name.0.as_str()), self.mac)
    }
}

/// Two entries for the same card: only the first would ever be used.
pub fn doubled(networks: &[(std::ops::Range<usize>, Network)], text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, (span, network)) in networks.iter().enumerate() {
        if networks[..index].iter().any(|(_, other)| other.card() == network.card()) {
            let message = "`network` has this card a second time: put both entries into one";
            problems.push(Problem::at(text, span, message));
        }
    }
    problems
}

impl Prefix {
    fn contains(&self, address: IpAddr) -> bool {
        let same = |a: u128, b: u128, width: u32| {
            let ignored = width.saturating_sub(u32::from(self.bits));
            a.checked_shr(ignored).unwrap_or(0) == b.checked_shr(ignored).unwrap_or(0)
        };
        match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
            _ => false,
        }
    }
}

impl FromText for CardName {
    const WANTED: &'static str = "the name of a network card";

    fn from_text(text: &str) -> Result<Self, WrongText> {
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"/\"'\\!".contains(&byte);
        // The kernel's names have 15 characters; a pattern may have some more.
        if (1..=32).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(WrongText::new(format!("cannot be `{text}`"), "write one name, or a pattern: `enp1s0`, `en*`"))
        }
    }
}

impl FromText for Mac {
    const WANTED: &'static str = "a hardware address";

    fn from_text(text: &str) -> Result<Self, WrongText> {
        let mut bytes = [0; 6];
        let parts: Vec<&str> = text.split([':', '-']).collect();
        let good = parts.len() == 6
            && parts.iter().zip(&mut bytes).all(|(part, byte)| {
                let digits = part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
                u8::from_str_radix(part, 16).is_ok_and(|value| {
                    *byte = value;
                    digits
                })
            });
        if good {
            Ok(Self(bytes))
        } else {
            Err(WrongText::new(format!("cannot be `{text}`"), "write six pairs of digits: `52:54:00:12:34:56`"))
        }
    }
}

impl FromText for Address {
    const WANTED: &'static str = "an IP address";

    fn from_text(text: &str) -> Result<Self, WrongText> {
        text.parse().map(Self).map_err(|_| {
            WrongText::new(
                format!("cannot be `{text}`, which is no IP address"),
                "write `192.0.2.1` or `2001:db8::1`, say",
            )
        })
    }
}

impl FromText for Prefix {
    const WANTED: &'static str = "an IP address with the length of its network";

    fn from_text(text: &str) -> Result<Self, WrongText> {
        let parsed = text.split_once('/').and_then(|(address, bits)| {
            let address: IpAddr = address.parse().ok()?;
            let bits = bits.parse().ok().filter(|bits| *bits <= if address.is_ipv4() { 32 } else { 128 })?;
            Some(Self { address, bits })
        });
        parsed.ok_or_else(|| {
            let help = "write an address, `/` and the length of its network: `192.0.2.10/24`, `2001:db8::10/64`";
            WrongText::new(format!("cannot be `{text}`"), help)
        })
    }
}

impl FromText for Domain {
    const WANTED: &'static str = "a domain";

    fn from_text(text: &str) -> Result<Self, WrongText> {
        let name = text.strip_prefix('~').unwrap_or(text);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if (1..=253).contains(&name.len()) && name.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(WrongText::new(format!("cannot be `{text}`"), "write a domain: `example.com`"))
        }
    }
}

impl TryFrom<u32> for Mtu {
    type Error = WrongText;

    fn try_from(bytes: u32) -> Result<Self, WrongText> {
        if (68..=65_535).contains(&bytes) {
            Ok(Self(bytes))
        } else {
            Err(WrongText::new(format!("cannot be {bytes}"), "write a number of bytes from 68 to 65535: 1500, say"))
        }
    }
}

macro_rules! read_as_text {
    ($($name:ident),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                text(deserializer)
            }
        }
    )*};
}

read_as_text!(CardName, Mac, Address, Prefix, Domain);

impl<'de> Deserialize<'de> for Dhcp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Dhcp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, \"ipv4\" or \"ipv6\"")
            }

            fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Dhcp, E> {
                Ok(if value { Dhcp::Yes } else { Dhcp::No })
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Dhcp, E> {
                match text {
                    "ipv4" => Ok(Dhcp::Ipv4),
                    "ipv6" => Ok(Dhcp::Ipv6),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl fmt::Display for Dhcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::No => "no",
            Self::Yes => "yes",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        })
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.0.map(|byte| format!("{byte:02x}"));
        f.write_str(&pairs.join(":"))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn network(text: &str) -> Result<Network, String> {
        let shape: NetworkShape = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        Network::from_shape(shape).map_err(str::to_owned)
    }

    #[test]
    fn a_card_with_addresses_of_its_own() {
        let text = "name = \"enp1s0\"\nmac = \"52:54:00:AB:cd:01\"\naddresses = [\"192.0.2.10/24\", \"2001:db8::10/64\"]\n\
            gateways = [\"192.0.2.1\", \"fe80::1\"]\ndns = [\"192.0.2.53\"]\ndomains = [\"example.com\", \"~corp\"]\nmtu = 9000\n\
            routes = [{ to = \"10.0.0.0/8\", via = \"192.0.2.254\" }]\n";
        let expected = "# Made at every boot from the machine's configuration: slipway-agent config show\n\
            [Match]\nName=enp1s0\nPermanentMACAddress=52:54:00:ab:cd:01\n\n[Link]\nMTUBytes=9000\n\n\
            [Network]\nDHCP=no\nAddress=192.0.2.10/24\nAddress=2001:db8::10/64\nDNS=192.0.2.53\nDomains=example.com ~corp\n\n\
            [Route]\nGateway=192.0.2.1\n\n[Route]\nGateway=fe80::1\nGatewayOnLink=yes\n\n\
            [Route]\nDestination=10.0.0.0/8\nGateway=192.0.2.254\n";
        assert_eq!(network(text).unwrap().to_unit(), expected);
    }

    #[test]
    fn without_addresses_dhcp_gives_them() {
        let unit = network("name = \"en*\"").unwrap().to_unit();
        assert!(unit.contains("\nDHCP=yes\n") && unit.contains("UseDomains=yes"), "{unit}");
        assert!(network("name = \"en*\"\ndhcp = \"ipv6\"").unwrap().to_unit().contains("\nDHCP=ipv6\n"));
        let both = network("name = \"en*\"\ndhcp = true\naddresses = [\"10.0.0.1/8\"]").unwrap().to_unit();
        assert!(both.contains("\nDHCP=yes\nAddress=10.0.0.1/8\n"), "{both}");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (text, words) in [
            ("dhcp = true", "says no card"),
            ("name = \"a\"\ndhcp = false", "has no address"),
            ("name = \"a b\"", "one name, or a pattern"),
            ("mac = \"52:54:00:12:34\"", "six pairs"),
            ("mac = \"52:54:00:12:34:+1\"", "six pairs"),
            ("name = \"a\"\naddresses = [\"192.0.2.10\"]", "length of its network"),
            ("name = \"a\"\naddresses = [\"192.0.2.10/33\"]", "length of its network"),
            ("name = \"a\"\ngateways = [\"gate\"]", "no IP address"),
            ("name = \"a\"\nmtu = 12", "from 68 to 65535"),
            ("name = \"a\"\ndhcp = \"yes\"", "true, false"),
            ("name = \"a\"\ndomains = [\"a b\"]", "write a domain"),
            ("name = \"a\\n[Route]\"", "one name"),
        ] {
            let wrong = network(text).unwrap_err();
            assert!(wrong.contains(words), "{text}: {wrong}");
        }
    }

    #[test]
    fn networks_contain_what_they_contain() {
        let contains =
            |prefix: &str, address: &str| Prefix::from_text(prefix).unwrap().contains(address.parse().unwrap());
        assert!(contains("192.0.2.10/24", "192.0.2.255") && !contains("192.0.2.10/24", "192.0.3.1"));
        assert!(contains("0.0.0.0/0", "1.1.1.1") && !contains("10.0.0.1/32", "10.0.0.2"));
        assert!(contains("::/0", "::1") && contains("fe80::1/64", "fe80::2") && !contains("::/0", "1.1.1.1"));
    }
}
