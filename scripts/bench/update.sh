#!/usr/bin/env bash
# What an update from one image to another costs on the wire, beside the floor and other ways of doing it.
#
#   scripts/bench/update.sh OLD NEW      two output folders of `slipway build`
#
# The floor is taken over the files of the two roots, which are extracted with fsck.erofs, by an independent program
# (floor.py, in a Python environment of its own under out/bench). Figures stay in out/bench/update.
set -euo pipefail
export LC_ALL=C
[ "$#" = 2 ] || { echo 'usage: scripts/bench/update.sh OLD NEW' >&2; exit 2; }
old=$(realpath "$1") new=$(realpath "$2")
cd "$(dirname "$0")/../.."
work=$PWD/out/bench/update
venv=$PWD/out/bench/python
cost=target/release/examples/update-cost

say() { printf 'bench: %s\n' "$*" >&2; }
value() { awk -v name="$1" '$1 == name {print $2}' "$work"/*.values; }

mkdir -p "$work"
rm -f "$work"/*.values
if [ ! -x "$venv/bin/python" ]; then
    say 'setting up Python with bsdiff4 and zstandard, for the floor'
    python3 -m venv "$venv"
    "$venv/bin/pip" --quiet install bsdiff4 zstandard
fi
# With all crates, so that none is compiled anew with fewer features.
cargo build --release --locked --quiet --workspace --example update-cost
say 'making the patches'
/usr/bin/time -f 'make-kb %M' -o "$work/make-memory.values" "$cost" make "$old" "$new" "$work/patch" >"$work/make.values"
say 'applying the patch of the root'
/usr/bin/time -f 'apply-kb %M' -o "$work/apply-memory.values" "$cost" apply "$old" "$work/patch" >"$work/apply.values"
say 'frames and chunks'
"$cost" blocks "$old" "$new" >"$work/blocks.values"
say 'the floor'
for version in old new; do
    rm -rf "${work:?}/$version"
    fsck.erofs --extract="$work/$version" --no-preserve "${!version}/root.erofs" >/dev/null
done
"$venv/bin/python" scripts/bench/floor.py "$work/old" "$work/new" >"$work/floor.values"
"$venv/bin/python" scripts/bench/floor.py "$old/uki.efi" "$new/uki.efi" | sed 's/^/uki-/' >"$work/uki-floor.values"
rm -rf "$work/old" "$work/new"

row() { # WHAT BYTES FLOOR
    awk -v what="$1" -v bytes="$2" -v floor="$3" 'BEGIN {printf "%-52s %12d %8.2f\n", what, bytes, bytes / floor}'
}
floor=$(value floor)
frames=$(($(value frames-of-16) + $(value index-of-16) + $(value leaves)))
printf '%-52s %12s %8s\n' 'root, bytes on the wire' bytes '× floor'
row 'floor: per file, bsdiff or zstd-19 with a dictionary' "$floor" "$floor"
row 'patch, with the head of the hash tree' "$(value root-bytes)" "$floor"
row 'frames, with index and leaves' "$frames" "$floor"
row '4 KiB index: missing blocks by themselves, and leaves' $(($(value frames-of-1) + $(value leaves))) "$floor"
row 'casync-like: chunks of 64 KiB' "$(value casync-like)" "$floor"
row 'kernel image, patch (second floor)' "$(value uki-bytes)" "$(value uki-floor)"
printf 'made in %s s (root) and %s s (kernel image) with %s MB; applied at %s MB/s with %s MB\n' "$(value root-seconds)" \
    "$(value uki-seconds)" $(($(value make-kb) / 1024)) "$(value apply-mb-per-second)" $(($(value apply-kb) / 1024))
