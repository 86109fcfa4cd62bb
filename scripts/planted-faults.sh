#!/bin/sh
# Plants each fault of updater/tests/faults.tsv in a copy of the sources, and shows that the tests named there catch it.
# A fault that they don't catch, or that can't be planted any more, ends this with 1. Arguments: names to plant only these.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
work=$root/target/faults
tree=$work/tree
faults=$root/updater/tests/faults.tsv
mkdir -p "$work"
rm -rf "$tree"
mkdir "$tree"
git ls-files -z | xargs -0 cp --parents -t "$tree"
# The crates of others are compiled already; compilers replace such files, and never write into them.
if [ ! -d "$work/build/release" ] && [ -d target/release ]; then
    mkdir -p "$work/build/release"
    cp -a target/release/.fingerprint target/release/build "$work/build/release/"
    cp -al target/release/deps "$work/build/release/"
fi

# Runs tests of `lib` or `it` whose names have one of these words in them. A fault is compiled in a few seconds: only the agent
# anew, in parts, not optimised.
run_tests() {
    program=$1
    shift
    case $program in lib) program=--lib ;; *) program="--test=$program" ;; esac
    (cd "$tree" && CARGO_TARGET_DIR="$work/build" CARGO_INCREMENTAL=1 timeout 1800 cargo test --release --locked -q \
        --config 'profile.release.package.slipway-updater.opt-level=0' -p slipway-updater "$program" -- "$@" >"$work/log" 2>&1)
}

tab=$(printf '\t')
# The rows that are wanted: all, or those with these names.
rows=$work/rows
grep -v '^#' "$faults" | grep . >"$rows"
if [ $# -gt 0 ]; then
    for name; do
        grep -m 1 "^$name$tab" "$faults" || { echo "$faults has no fault named \`$name\`" >&2; exit 2; }
    done >"$rows"
fi
echo 'without a fault'
for program in lib it; do
    # shellcheck disable=SC2046 # words
    set -- $(cut -f 3 "$rows" | sed -n "s/^$program //p" | sort -u)
    [ $# = 0 ] || run_tests $program "$@" || { cat "$work/log"; echo 'tests fail without a fault' >&2; exit 1; }
done
planted=0 missed=0
while IFS=$tab read -r name file tests change; do
    planted=$((planted + 1))
    cp "$tree/updater/src/$file" "$work/whole"
    perl -0pi -e "$change" "$tree/updater/src/$file"
    caught=no
    if cmp -s "$tree/updater/src/$file" "$work/whole"; then
        verdict="CAN'T PLANT "
    # shellcheck disable=SC2086 # program and filter
    elif run_tests $tests </dev/null; then
        verdict='NOT CAUGHT  '
    elif by=$(sed -n 's/^    \([a-z_0-9:]*\)$/\1/p' "$work/log" | sort -u | tr '\n' ' ') && [ -n "$by" ]; then
        verdict='caught      ' caught=yes
    else
        verdict='NO VERDICT  ' by=$(grep -m 1 '^error' "$work/log" || tail -n 1 "$work/log")
    fi
    echo "$verdict $name${by:+: $by}"
    by=
    [ $caught = yes ] || missed=$((missed + 1))
    cp "$work/whole" "$tree/updater/src/$file"
done <"$rows"
echo "$planted faults planted, $missed not caught"
[ "$missed" -eq 0 ]
