//! The scripts that somebody has read: what each does, and which effect does it instead.
//!
//! An entry holds for one residual text, named by its digest (see [`super::residual`]), so that a script that changes is
//! read again before a build takes it. A script may have several entries, one for each text of it that a supported
//! release of Debian has or had.

use slipway_images::digest::Digest;

use super::Class;

/// What the table says of a script.
#[derive(Debug, PartialEq, Eq)]
pub enum Known {
    /// This very text was read.
    Exactly(Class),
    /// Another text of it was; this is what that one does.
    OtherText(&'static str),
    /// Nobody has read it.
    Not,
}

/// Looks up the `script` of `package` whose residual has the digest `residual`.
pub fn find(package: &str, script: &str, residual: Digest) -> Known {
    let hex = residual.to_hex();
    let mut entries = TABLE.iter().filter(|entry| entry.script == script && matches(entry.package, package)).peekable();
    let other = entries.peek().map_or(Known::Not, |entry| Known::OtherText(entry.why));
    entries.find(|entry| entry.residual == hex).map_or(other, |entry| Known::Exactly(entry.class()))
}

/// A name in the table stands for itself, or with `*` at its end for all that begin so.
fn matches(pattern: &str, package: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == package, |start| package.starts_with(start))
}

struct Entry {
    package: &'static str,
    script: &'static str,
    residual: &'static str,
    effect: Option<&'static str>,
    why: &'static str,
}

impl Entry {
    fn class(&self) -> Class {
        match self.effect {
            Some(effect) => Class::Modelled { effect, why: self.why },
            None => Class::Harmless { why: self.why },
        }
    }
}

const fn modelled([package, script, residual]: [&'static str; 3], effect: &'static str, why: &'static str) -> Entry {
    Entry { package, script, residual, effect: Some(effect), why }
}

const fn harmless([package, script, residual]: [&'static str; 3], why: &'static str) -> Entry {
    Entry { package, script, residual, effect: None, why }
}

/// Sorted by package and script.
#[rustfmt::skip]
const TABLE: &[Entry] = &[
    harmless(["adduser", "preinst", "9f56dbdab876c5217b3b937ef2e999bbe059f783be27a4c4e3c8530d39ccf937"],
        "moves an unchanged adduser.conf aside when it is upgraded"),
    modelled(["base-files", "postinst", "28fa566615322ce87a541e973fdf82d7d48e3802a64f9bb90a4f968b75881709"], "base-files",
        "copies profile, motd and root's dotfiles, makes /mnt, /srv, /opt, /media, /usr/local, /var/mail and the log files of logins"),
    harmless(["base-files", "preinst", "b2c3b4e842dcec7fb806a041190f281a96f4a98d088ae4d20d89510096243380"],
        "stops where /usr isn't merged, and diverts /lib32 and its like, which an image doesn't have"),
    modelled(["base-passwd", "postinst", "a7aea49d3d4b40926eafac4f6234df81221fa5236819470ba47f1ae21ace732b"], "base-passwd",
        "copies passwd and group from their masters, makes empty subuid and subgid"),
    modelled(["base-passwd", "preinst", "5ab6fdffe4ff58be22e944758fd782e877f78d7b912057ec392f6d84a70f9a2f"], "base-passwd",
        "writes passwd and group, which the masters equal"),
    modelled(["bash", "postinst", "0088374c12b9d3531f10cb324650233c95474d071ef5fdadc51ab79769c0f93e"], "sh",
        "links /bin/sh to bash where no other package brings it; an alternative for a manual page"),
    modelled(["ca-certificates", "postinst", "7cbab071ff6ea5b286d257e2df493f8263d7f1c0fe05d55db791ee8c1edd52b1"], "ca-certificates",
        "lists the certificates in /etc/ca-certificates.conf and joins them into one bundle"),
    harmless(["dbus-broker", "postinst", "ec182864c2a98ce21a961446239f0520d050fc2779bd84e37fd5ba6425ad0ec7"],
        "asks for a reboot where a message bus is running"),
    modelled(["dbus-system-bus-common", "postinst", "6777e851391cb07f8d404b4ff83a7e9854fc2f3928b6c73cdd0b7075a520e2f9"], "accounts",
        "makes the user messagebus from its sysusers.d file"),
    modelled(["debianutils", "postinst", "4e5e6301f23916853e8fea0b2a070ea637700a659ad90a35a49bdf0d92e4da2e"], "shells",
        "writes /etc/shells; an alternative for `which`"),
    modelled(["docker.io", "postinst", "e551ddd8fb1a9b509aa86c9183a5b105d69ba33fd39dbd18c27200b31975d367"], "docker",
        "makes the group docker; the rest is for upgrades"),
    harmless(["e2fsprogs", "postinst", "beddeba810c59c4498b87294945f86e415a816c81383293410e4507ab52d3df7"],
        "rebuilds an initramfs, which the image doesn't have"),
    harmless(["e2fsprogs", "preinst", "759977c9e18437325f41c773d85d75d8a5b945430f90e54ba03249d02fd4249b"],
        "removes a link when it is upgraded"),
    harmless(["init-system-helpers", "postinst", "25bd97e4a6f33b06d33d01f5dc9ed2b3041434bd2590d52dbf3d69c9014e1614"],
        "undoes a diversion of debootstrap's when it is upgraded"),
    harmless(["initramfs-tools", "postinst", "a66db228e8ab312010aaba2fea8765bd255b48ef4aee003609a7da038f0d0dc6"],
        "builds an initramfs, which the image doesn't have"),
    harmless(["initramfs-tools-core", "postinst", "af5c325bf7c139d8990278abccae0eac3f66209e5b2a23da5f2dffb0c91f7675"],
        "copies a list of modules for an initramfs, which the image doesn't have"),
    harmless(["iproute2", "postinst", "527078abf1e35a24228d157240f29dd847ca396011a328e7533aa247db663616"],
        "gives `ip` capabilities if debconf was told to; the default is not to"),
    modelled(["iptables", "postinst", "2dd4ea573e7031ff56d9d7812fdae68fa8db163e88b0f6a8f832f74932c1a459"], "alternatives",
        "alternatives for iptables, ip6tables, arptables and ebtables"),
    harmless(["klibc-utils", "postinst", "800f7fb6410b6359b1939098217a71310725cc70e9507497b6d0d76547f0229c"],
        "links its documentation; the rest is for upgrades"),
    harmless(["kmod", "postinst", "d8e3750eb7df79add9bfe2b079c5834ca6faa1623c4e6fbe49dc8a0c23b88e30"],
        "writes an /etc/modules with nothing but comments"),
    modelled(["less", "postinst", "66c5b071d7ff02806a9c738e15b200eaee81c79fa91fbacd114046961df7a899"], "alternatives",
        "an alternative for `pager`"),
    harmless(["less", "preinst", "b7e3116c05bd562c8c4d638eb79b4988079a8f0fce84bfcf0ce2f1cea9aa123e"],
        "removes an alternative when it is upgraded"),
    harmless(["libc6", "postinst", "577cff25a83da609508ee73f8fef48e85531eb3686f6958c6eab6fa016ff9635"],
        "restarts services when it is upgraded, and tells those that want to know of it"),
    harmless(["libc6", "preinst", "07cc023abc8be983f4149a3bc7bdc8d6ff40a74f0ae10f520d4bd061f4522fa9"],
        "checks the running kernel and /usr, adds diversions that move no file; base-files brings the link /lib64"),
    harmless(["libext2fs2t64", "preinst", "f97a62a2659537a1dd80d2ab2d1011a935ae1e66c72ab5855b5d20e8f44360a2"],
        "adds diversions for names in /lib, which move no file"),
    harmless(["libgssapi-krb5-2", "postinst", "22fe6e22dafa944faf2860f379229b96a3e3532684d52ca40a4bfb1e55c2760a"],
        "moves a file when it is upgraded"),
    modelled(["libpam-modules", "postinst", "6f56ea9ca6372aa7f0c787df89cec6dbb19bb5094bd0d939f6c9e71bd3fc7948"], "pam",
        "makes opasswd, readable by root alone, and an empty /etc/environment"),
    harmless(["libpam-modules", "preinst", "b0f987677dfb04d19ecc32d389300e734a43abc1d418b8041a0317a613dc00c4"],
        "warns of screen savers when it is upgraded"),
    modelled(["libpam-runtime", "postinst", "b76df08af367e90d0bb9d53bcae671960aa743624562ccbcc09bed34f6345cbd"], "pam",
        "writes the common-* files of PAM from pam-configs"),
    modelled(["libpam-systemd", "postinst", "398e3fdeebca7fee427692c31f2d3c42c8a70845880759f179517a67ee72d1a2"], "pam",
        "writes the common-* files of PAM again with its own profile"),
    harmless(["libpam0g", "postinst", "c9c2afb768d2f558e378707dd81dd76e656ea7c51ea20b48ebbb107e791309ac"],
        "restarts services when it is upgraded"),
    harmless(["libselinux1", "postinst", "666576aaff770160f81f08f4c8c4e50f30f4e96e3d7bd1005973d65757a27f68"],
        "removes compiled contexts when it is upgraded"),
    harmless(["libtirpc3t64", "preinst", "e4fed474efaec86ab5db78488ac71ac86ad95424b67ae696bd1a47676d28274b"],
        "adds diversions for names in /lib, which move no file"),
    harmless(["libwrap0", "postinst", "7847fed0ea4c0be36d881075457c4ecc2501b6d6650b2111fc2e308c0cac01a1"],
        "writes a hosts.allow and a hosts.deny with nothing but comments"),
    harmless(["libwtmpdb0", "postinst", "25728dd1078ca3aaf389e569c42d3938841cdf11440d0b6e66988d69b657290e"],
        "links the old place of a log to its new one, for programs of an older release"),
    modelled(["linux-image-*", "postinst", "26603ee17ee710a6eb3a4cba7c92da862a0ffb530e428c33caa1e1775677b6c0"], "kernel",
        "indexes the modules; boot links and hooks are for boot loaders, and the image boots a UKI"),
    harmless(["linux-image-*", "preinst", "f849c8f319b4c86dd03e4639155a1629a105453be4052063843268545f83c823"],
        "marks a fresh installation for its postinst and runs hooks for boot loaders"),
    harmless(["login.defs", "postinst", "b40547c83a55c06ada84103725ea3395773ca5289cb46a155aea168b42ac7934"],
        "takes a configuration file over from an older package"),
    modelled(["netbase", "postinst", "f3122c59cd2d99821e65cc41388b9a1eaf6236ee45815ed9b1c8fcb199dd7af8"], "netbase",
        "writes /etc/hosts and /etc/networks"),
    modelled(["openssh-client", "postinst", "2e854bb0824d0ee83eec8379fa3a8a6b27f5432960ca3150cc0e632fede49773"], "ssh",
        "makes the group _ssh and gives it ssh-agent, set-group-id; the rest is for upgrades"),
    modelled(["openssh-server", "postinst", "cffb108ed0ec85a70786f4a5d22b7971311835e1e031a5ce8d3e7376c183984d"], "ssh",
        "writes sshd_config from its template; host keys are made at first boot"),
    harmless(["openssh-server", "preinst", "d1499dcb3b432b26408d9ad7278141e244f8860faf97f8910cf9ec5eb46bb1af"],
        "diverts sshd while it is upgraded"),
    harmless(["openssl", "postinst", "2cf35c30f1dbaf9222490b158807601f5bae4f7aae1ab64616bd42d3fcaa3247"],
        "links /usr/lib/ssl where the package doesn't bring it, which it does"),
    modelled(["passwd", "postinst", "5d85446badcf965fd8b75e075fbf24d3664eb6939ae97e7f7b730175348f0f4a"], "passwd",
        "makes shadow and gshadow, readable by the group shadow"),
    harmless(["procps", "postinst", "7faae81c9a92bccd4cfa18bd89ff3004d76d2f2d9f0eabc99c78824fde4ca27c"],
        "applies sysctl settings to the running kernel when triggered"),
    modelled(["systemd", "postinst", "50d678fd15c9da4e4437318e2f36d166c882c736b4c26294c710c00703174122"], "systemd",
        "enables getty@tty1, remote-fs and systemd-pstore, makes machine-id and /var/log/journal, compiles the message catalog"),
    harmless(["systemd", "preinst", "5a29e86601168feeb6f9d354bcd5a4129583820ce76174f569ca5c735cf655c4"],
        "stops where /usr isn't merged; the rest is for upgrades"),
    modelled(["systemd-resolved", "postinst", "63f91c5d1a8c4dad6f98eecee139a7f1e11752134d09f89dbfc2849fbe440783"], "resolved",
        "links /etc/resolv.conf to the stub that systemd-resolved keeps"),
    harmless(["systemd-sysv", "postinst", "ab86ac8e9c00de0c4f46711522fa606aab85bef4ba34fdc8fbc6858a1df692bd"],
        "restores links that an old conversion to merged /usr lost; tells GRUB"),
    harmless(["systemd-timesyncd", "postinst", "b0972a16e1f290ef3cda7539cf80f0fa745fd1360bc74f0a45e0650366b3b2a4"],
        "takes configuration files over from an older package"),
    modelled(["tzdata", "postinst", "e11c642bb42c4ca97210a63fa1fbceab6350bf0dd22dfb96a1eccc4701da6bed"], "tzdata",
        "links /etc/localtime to the time zone of debconf's answer, UTC by default"),
    harmless(["ucf", "postinst", "1f6342a91728e06b5d7f370e1cc22dfde15de5b38244884327f785d576752f81"],
        "makes the registry of a program that isn't run"),
    harmless(["ucf", "preinst", "652b2fec54831b9f1025fa40f2f8d6fbdde357dab9629737861e8c0b2a326cb5"],
        "moves old data out of the way"),
    harmless(["udev", "postinst", "b5665f4c97b4959cb4d036c0f385b72be8fbb35ae5f47bff7267c582ea259e33"],
        "compiles the hardware database, which the image leaves out"),
    harmless(["udev", "preinst", "b7dacfab5d04eca428c278b4344dcecf8c3642b1d9d926b3d4547b04a3445c3e"],
        "stops where /usr isn't merged"),
    modelled(["util-linux", "postinst", "501f0ba51be5935d5f8ba6e300e61ca9fbcfb6ed0367c62f23cd23bfa0be8b1d"], "alternatives",
        "an alternative for `pager`"),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_table_is_sorted_and_its_digests_are_digests() {
        let keys: Vec<_> = TABLE.iter().map(|entry| (entry.package, entry.script, entry.residual)).collect();
        let mut sorted = keys.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(keys, sorted);
        for entry in TABLE {
            entry.residual.parse::<Digest>().unwrap();
            assert!(!entry.why.ends_with('.'), "{}", entry.why);
        }
    }

    #[test]
    fn another_text_of_a_known_script_is_told_from_an_unknown_one() {
        assert!(matches!(find("bash", "postinst", Digest::of(b"")), Known::OtherText(_)));
        assert_eq!(find("bash", "preinst", Digest::of(b"")), Known::Not);
        assert!(matches!(find("linux-image-7.1-amd64", "postinst", Digest::of(b"")), Known::OtherText(_)));
    }
}
