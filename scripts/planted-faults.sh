#!/bin/sh
# Plants each fault of updater/tests/faults.tsv in a copy of the sources, and shows that a test of the agent catches it.
# A fault that no test catches, or that can't be planted any more, ends this with 1. Arguments: names to plant only these.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
work=$root/target/faults
tree=$work/tree
mkdir -p "$work"
rm -rf "$tree"
mkdir "$tree"
git ls-files -z | xargs -0 cp --parents -t "$tree"
# The crates of others are compiled already.
if [ ! -d "$work/build/release" ] && [ -d target/release ]; then
    mkdir -p "$work/build/release"
    for part in .fingerprint build deps; do cp -a --reflink=auto "target/release/$part" "$work/build/release/"; done
fi

run_tests() {
    (cd "$tree" && CARGO_TARGET_DIR="$work/build" timeout 900 cargo test --release --locked -q -p slipway-updater --lib --test it \
        -- --skip host:: --skip checks:: --skip process:: --skip channel:: --skip net:: >"$work/log" 2>&1)
}

echo 'without a fault'
run_tests || { cat "$work/log"; echo 'tests fail without a fault' >&2; exit 1; }
planted=0 missed=0
tab=$(printf '\t')
while IFS=$tab read -r name file change; do
    case $name in '#'* | '') continue ;; esac
    if [ $# -gt 0 ]; then
        wanted=no
        for one; do [ "$one" = "$name" ] && wanted=yes; done
        [ $wanted = yes ] || continue
    fi
    planted=$((planted + 1))
    perl -0pi -e "$change" "$tree/updater/src/$file"
    if cmp -s "$tree/updater/src/$file" "updater/src/$file"; then
        echo "CAN'T PLANT  $name"
        missed=$((missed + 1))
        continue
    fi
    if run_tests; then
        echo "NOT CAUGHT   $name"
        missed=$((missed + 1))
    elif grep -q '^error: could not compile\|^error\[E' "$work/log"; then
        echo "NO PROGRAM   $name"
        missed=$((missed + 1))
    else
        by=$(sed -n 's/^    \([a-z_0-9:]*\)$/\1/p' "$work/log" | sort -u | tr '\n' ' ')
        echo "caught       $name: $by"
    fi
    cp "updater/src/$file" "$tree/updater/src/$file"
done <updater/tests/faults.tsv
echo "$planted faults planted, $missed not caught"
[ "$missed" -eq 0 ]
