#!/usr/bin/env bash
# Installs what Slipway needs on Debian 12 or 13 and is not there yet, and says why. Does nothing when all is there.
#   scripts/setup.sh [--build-only]     --build-only leaves out QEMU, firmware and the oracles of the tests
set -euo pipefail

build_only=no
[ "${1:-}" = "--build-only" ] && build_only=yes

missing=()
need() { # PACKAGE REASON: remembers a package that dpkg doesn't list as installed
    dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed && return
    missing+=("$1")
    printf 'setup: %-18s %s\n' "$1" "$2"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Distributions have older ones. `rust-version = "1.91"` is 91, and `rustc 1.95.0 (…)` is 95; what reads otherwise is left to cargo.
least_rust=$(sed -n 's/^rust-version = "1\.\([0-9]*\).*/\1/p' "$(dirname "$0")/../Cargo.toml")
check_rust() {
    local have
    have=$(rustc --version 2>/dev/null | sed -n 's/^rustc 1\.\([0-9]*\)\..*/\1/p' || true)
    if [ "${have:-$least_rust}" -lt "$least_rust" ]; then
        echo "setup: Rust 1.$have is too old, it takes 1.$least_rust: install rustup (https://rustup.rs), or run rustup update" >&2
        exit 1
    fi
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    cat >&2 <<TEXT
setup: this machine has no apt. Install these by hand, then run make again:
  Rust >= 1.$least_rust, a C compiler, make, pkg-config, libostree headers            to build
  qemu-system-x86_64 >= 8, OVMF                                              to run and test
  fsck.erofs, veritysetup, sfdisk, fsck.vfat, mcopy, ostree, depmod, sbverify       oracles of the tests
  Python >= 3.10 with tuf 6.0.0 in target/oracles/python (a venv)                   oracle of the tests
TEXT
    for tool in cargo cc pkg-config; do command -v "$tool" >/dev/null || exit 1; done
    check_rust
    exit 0
fi

need gcc "compiles the C parts of liblzma and zstd"
need libc6-dev "headers for them"
need pkg-config "finds libostree"
need libostree-dev "the store of built trees (crate ostree)"
need ca-certificates "HTTPS to package mirrors"
if [ "$build_only" = no ]; then
    need ovmf "UEFI firmware for the virtual machine"
    need erofs-utils "oracle: fsck.erofs reads the root file system we write"
    need cryptsetup-bin "oracle: veritysetup checks the hash tree we write"
    need fdisk "oracle: sfdisk checks the partition table we write"
    need dosfstools "oracle: fsck.vfat checks the EFI system partition we write"
    need mtools "oracle: mcopy reads files from the EFI system partition we write"
    need ostree "oracle: ostree fsck checks the store"
    need kmod "oracle: depmod makes the module indexes to compare ours with"
    need sbsigntool "oracle: sbverify parses the unified kernel image we write"
    need openssh-client "tests log in to the virtual machine"
    need gnupg "tests sign archive indexes with keys of their own"
    need dpkg-dev "tests build small packages of their own"
    need python3-venv "oracle: python-tuf downloads a release from the repository we publish"
fi

if [ "${#missing[@]}" -gt 0 ]; then
    echo "setup: installing ${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# QEMU 7.2 crashes these guests when it emulates; 8 and later are sound. Debian 12 has 10 in its backports.
qemu_major() { qemu-system-x86_64 --version 2>/dev/null | sed -n 's/.*version \([0-9]*\)\..*/\1/p'; }
if [ "$build_only" = no ]; then
    have=$(qemu_major || true)
    if [ "${have:-0}" -lt 8 ]; then
        . /etc/os-release
        suite=()
        if [ "${VERSION_ID:-}" = 12 ]; then
            # The machine's own mirror: the first Debian archive its apt sources name.
            mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null \
                | grep -oE 'https?://[^ ]+/debian/?( |$)' | head -1 | tr -d ' ' || true)
            if [ -z "$mirror" ]; then
                echo "setup: no Debian mirror in the apt sources; add bookworm-backports by hand for QEMU 10" >&2
                exit 1
            fi
            if ! apt-cache policy | grep -q bookworm-backports; then
                echo "setup: adding bookworm-backports from this machine's own mirror, for QEMU 10"
                echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bookworm-backports main" \
                    | as_root tee /etc/apt/sources.list.d/slipway-backports.list >/dev/null
            fi
            suite=(-t bookworm-backports)
        fi
        echo "setup: installing qemu-system-x86 (boots every image; found version: ${have:-none}, needed: 8)"
        as_root apt-get update -qq
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            "${suite[@]}" qemu-system-x86 qemu-utils >/dev/null
    fi
fi

# An independent client of The Update Framework. These versions need no compiler.
oracles=$(dirname "$0")/../target/oracles/python
if [ "$build_only" = no ] && ! "$oracles/bin/python" -c 'import tuf.ngclient' 2>/dev/null; then
    echo "setup: installing python-tuf in target/oracles/python"
    rm -rf "$oracles"
    python3 -m venv "$oracles"
    "$oracles/bin/pip" --quiet --disable-pip-version-check install tuf==6.0.0 securesystemslib==1.6.0 urllib3==2.8.0
fi

if ! command -v cargo >/dev/null; then
    if apt-cache show rustup >/dev/null 2>&1; then
        echo "setup: installing rustup and the stable toolchain"
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends rustup >/dev/null
        rustup default stable
    else
        echo "setup: Rust is missing: install rustup (https://rustup.rs), then run make again" >&2
        exit 1
    fi
fi
check_rust
