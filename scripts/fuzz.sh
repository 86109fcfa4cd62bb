#!/bin/sh
# Builds the fuzz targets (fuzz/README.md) and runs each for FUZZ_SECONDS seconds, 20 if that isn't set. Prints a line for each, and
# ends with 1 when one found something. Arguments: targets, to build and run only these.
set -eu
cd "$(dirname "$0")/../fuzz"
seconds=${FUZZ_SECONDS:-20}

# The crates of others are compiled already; compilers replace such files, and never write into them. Ours aren't to be found.
if [ ! -d target/release ] && [ -d ../target/release ]; then
    mkdir -p target/release
    cp -a ../target/release/.fingerprint ../target/release/build target/release/
    cp -al ../target/release/deps target/release/
    rm -rf target/release/.fingerprint/slipway* target/release/build/slipway* target/release/deps/*slipway*
fi

only=
for target; do only="$only --bin $target"; done
# shellcheck disable=SC2086 # words, or none at all
RUSTC_WRAPPER=$PWD/instrument.sh cargo build --release --locked $only

status=0
for target in ${*:-$(sed -n 's/^name = "\([a-z_]*\)"$/\1/p' Cargo.toml | sort)}; do
    corpus=corpus/$target artifacts=artifacts/$target log=target/$target.log
    mkdir -p "$corpus" "$artifacts"
    if "target/release/$target" "$corpus" -artifact_prefix="$artifacts/" -max_total_time="$seconds" -max_len=4096 -timeout=10 \
        -rss_limit_mb=2048 -print_final_stats=1 >"$log" 2>&1; then
        edges=$(sed -n 's/.*DONE *cov: \([0-9]*\).*/\1/p' "$log" | tail -n 1)
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        memory=$(sed -n 's/^stat::peak_rss_mb: *//p' "$log")
        printf '%-16s %9s runs in %s s, %s edges, %s MiB\n' "$target" "$runs" "$seconds" "${edges:-no}" "$memory"
    else
        status=1
        found=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
        said=$(sed -n '/panicked at/{n;p;q;}; /^==.*ERROR/{p;q;}' "$log")
        printf '%-16s FAILED: %s (fuzz/%s)\n' "$target" "$said" "${found:-$log}"
    fi
done
exit $status
