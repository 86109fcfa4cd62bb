#!/usr/bin/env bash
# Every budget of building, booting and updating: its limit, ours, and the peer's figure from the same run on the same machine.
#
#   scripts/bench.sh [PART...]     build tree image boot update, all five if none is named; mkosi only if it is named
#
#   BENCH_BUILDS=3     builds of each kind; the median counts
#   BENCH_RUNS=2       pairs of boots, ours and the peer's in turn
#   BENCH_PAIR=FOLDER  two builds, docker-host_1 and docker-host_2, to update from and to; made if it isn't set
#   SLIPWAY_MIRROR, SLIPWAY_CACHE, SLIPWAY_QEMU, SLIPWAY_OVMF_CODE, SLIPWAY_OVMF_VARS as for `slipway`
#
# Figures stay in out/bench/values, so that a part can be run by itself; the peer's image stays in out/bench/peer. The parts
# tree, image and mkosi need root (sudo is asked for): they run the packages' scripts in a chroot.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."

runs=${BENCH_RUNS:-2}
builds=${BENCH_BUILDS:-3}
boot_limit=600
slipway=$PWD/target/release/slipway
bench=$PWD/out/bench
logs=$bench/logs
image=docker-host_1
lock=recipes/docker-host.lock
cache=${SLIPWAY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/slipway}
qemu_pid=

say() { printf 'bench: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
note() { say "$*"; printf '%s\n' "$*" >>"$bench/notes"; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

value() { echo "$bench/values/$1"; }
forget() { local name; for name in "$@"; do rm -f "$(value "$name")" "$(value "$name.s")" "$(value "$name.kb")"; done; }

elapsed() { # START: seconds since then
    awk -v now="$EPOCHREALTIME" -v start="$1" 'BEGIN {printf "%.2f\n", now - start}'
}

quietly() { # NAME COMMAND...: its output goes to a log, which an error names
    local name=$1
    shift
    "$@" >"$logs/$name.log" 2>&1 || die "$name failed; the end of $logs/$name.log: $(tail -n 3 "$logs/$name.log")"
}

# Adds wall seconds to NAME.s and the peak resident kB of the largest process to NAME.kb.
measure() { # NAME COMMAND...
    local name=$1
    shift
    export -f bootstrap stock_root run_mkosi as_root peer_packages peer_sources mirror_of say die
    export bench lock peer_release debian_keyring
    # shellcheck disable=SC2016  # the inner shell is to expand it
    quietly "$name" /usr/bin/time -f '%e %M' -o "$work/time" bash -euo pipefail -c '"$@"' measured "$@"
    cut -d' ' -f1 "$work/time" >>"$(value "$name.s")"
    cut -d' ' -f2 "$work/time" >>"$(value "$name.kb")"
}

need() { # PROGRAM PACKAGE REASON
    PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null && return
    printf 'bench: %-18s %s\n' "$2" "$3" >&2
    missing+=("$2")
}

install_missing() {
    missing=()
    need /usr/bin/time time 'wall time and peak memory of a command'
    need mmdebstrap mmdebstrap 'peer: builds a tree of the same packages with their scripts'
    need mke2fs e2fsprogs "peer: the stock root's file system"
    need mkfs.vfat dosfstools "peer: the stock image's EFI system partition"
    need mcopy mtools 'peer: files into it'
    need sfdisk fdisk 'peer: its partition table'
    need qemu-img qemu-utils 'disks that remember a first boot'
    need fsck.erofs erofs-utils 'update: the files of two roots, for the floor'
    if ! python3 -c 'import ensurepip' 2>/dev/null; then
        printf 'bench: %-18s %s\n' python3-venv 'update: bsdiff and zstd, for the floor' >&2
        missing+=(python3-venv)
    fi
    [ "${#missing[@]}" = 0 ] && return
    command -v apt-get >/dev/null || die 'this machine has no apt: install these by hand, then run it again'
    say "installing ${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

part_build() {
    local run cold=$bench/cold recipes=$bench/recipes recipe=$bench/recipes/docker-host.toml
    [ -f "$lock" ] || die "$lock is not there: $slipway lock recipes/docker-host.toml"
    say 'build: fills the package cache, and makes the image that is booted'
    quietly fill "$slipway" --quiet --cache "$cache" --out "$bench/out" build recipes/docker-host.toml
    forget clean changed unchanged
    for run in $(seq "$builds"); do
        say "build: clean, unchanged, one changed file ($run of $builds)"
        rm -rf "$cold" "$recipes"
        mkdir -p "$cold/cache"
        # The packages as they were downloaded, and nothing that an earlier build unpacked.
        cp -al "$cache/blobs" "$cold/cache/" 2>/dev/null || cp -a "$cache/blobs" "$cold/cache/"
        cp -r recipes "$recipes"
        measure clean "$slipway" --json --cache "$cold/cache" --out "$cold/out" build "$recipe"
        measure unchanged "$slipway" --json --cache "$cold/cache" --out "$cold/out" build "$recipe"
        grep -q '"unchanged":true' "$logs/unchanged.log" || die 'a second build did not see that nothing had changed'
        printf '\n[[file]]\npath = "/etc/bench"\ncontent = "%s\\n"\n' "$run" >>"$recipe"
        measure changed "$slipway" --json --cache "$cold/cache" --out "$cold/out" build "$recipe"
        grep -q '"unchanged":false' "$logs/changed.log" || die 'a build did not see that a file had changed'
    done
    rm -rf "$cold" "$recipes"
    stat -c %s "$bench/out/$image/uki.efi" >"$(value uki-bytes)"
    stat -c %s "$bench/out/$image/root.erofs" >"$(value root-bytes)"
    grep -c '^role = "root"' "$lock" >"$(value packages)"
}

# What an update costs whose old version is the distribution as it was released, and the new one has its security updates.
part_update() {
    local recipes=$bench/pair/recipes pair=${BENCH_PAIR:-$bench/pair/out} name
    if [ -z "${BENCH_PAIR:-}" ]; then
        say 'update: builds the pair'
        rm -rf "$bench/pair"
        mkdir -p "$bench/pair"
        cp -r recipes "$recipes"
        printf 'extends = "docker-host.toml"\n[image]\nversion = "1"\n[archive]\nsuites = ["%s"]\n' "$peer_release" >"$recipes/old.toml"
        printf 'extends = "docker-host.toml"\n[image]\nversion = "2"\n' >"$recipes/new.toml"
        for name in old new; do
            quietly "pair-lock-$name" "$slipway" --quiet --cache "$cache" lock "$recipes/$name.toml"
            quietly "pair-$name" "$slipway" --quiet --cache "$cache" --out "$pair" build "$recipes/$name.toml"
        done
    fi
    say 'update: patches, frames, the floor'
    scripts/bench/update.sh "$pair/docker-host_1" "$pair/docker-host_2" >"$(value update-table)"
    for name in floor root-bytes uki-bytes uki-floor casync-like root-seconds uki-seconds make-kb apply-kb apply-seconds; do
        awk -v name="$name" '$1 == name {print $2}' "$bench"/update/*.values >"$(value "update-$name")"
    done
    stat -c %s "$pair/docker-host_2/root.erofs" >"$(value update-root-size)"
    rm -rf "$bench/pair"
}

trap '[ -z "$qemu_pid" ] || kill "$qemu_pid" 2>/dev/null || true; rm -rf "$work"' EXIT
mkdir -p "$bench/values" "$logs"
work=$(mktemp -d "$bench/work.XXXXXX")
. scripts/bench/peers.sh
. scripts/bench/machine.sh
. scripts/bench/table.sh

[ "$#" -gt 0 ] || set -- build tree image boot update
install_missing
export PATH=$PATH:/usr/sbin:/sbin
: >"$bench/notes"
for part in "$@"; do
    case $part in
        build | tree | image | boot | update | mkosi) "part_$part" ;;
        *) die "there is no part '$part'" ;;
    esac
done
table
