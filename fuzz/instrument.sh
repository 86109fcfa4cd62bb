#!/bin/sh
# Stands before rustc (RUSTC_WRAPPER): tells it to count the edges of our code for libFuzzer, and what the code compares. Other
# crates stay as they are: it is our code that the fuzzer is to get to the corners of, and it takes a third of the time.
rustc=$1
shift
case " $* " in
*' --crate-name slipway_'* | *' targets/'*)
    set -- "$@" -Cpasses=sancov-module
    for option in level=4 inline-8bit-counters pc-table trace-compares; do
        set -- "$@" "-Cllvm-args=-sanitizer-coverage-$option"
    done
    ;;
esac
exec "$rustc" "$@"
