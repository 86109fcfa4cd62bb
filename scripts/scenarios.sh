#!/bin/sh
# Runs every scenario on virtual machines, and what other tools say of a host (`interoperable`), one after the other, and prints a
# table: number, what it is, result, seconds. Ends with 1 if one failed; what it said is in out/e2e/scenarios/logs. Arguments: numbers
# (05 15), or `interoperable`, to run only these.
#   SCENARIO_LIMIT   seconds that one may take, 3600 unless set
set -eu
cd "$(dirname "$0")/.."
logs=$PWD/out/e2e/scenarios/logs
mkdir -p "$logs"

tests() { cargo test --quiet --release --locked --workspace --test e2e -- --test-threads=1 "$@"; }

all=$(tests --include-ignored --list | sed -nE 's/^(scenarios::s[0-9].*|interoperable::.*): test$/\1/p')
[ -n "$all" ] || { echo 'there are no scenarios' >&2; exit 1; }

line() { printf '%-4s %-86s %-7s %7s\n' "$@"; }
line no. scenario result seconds
ran=0 failed=0
for name in $all; do
    file=${name#scenarios::s} test=${name##*::}
    file=${file%%::*}
    number=${file%%_*} words=$(echo "${file#*_}: $test" | tr _ ' ')
    if [ $# -gt 0 ]; then
        case " $* " in *" $number "*) ;; *) continue ;; esac
    fi
    log=$logs/$number-$test.log
    [ "$number" != "$file" ] || number=-
    ran=$((ran + 1))
    begun=$(date +%s) result=ok
    timeout "${SCENARIO_LIMIT:-3600}" cargo test --quiet --release --locked --workspace --test e2e -- \
        --test-threads=1 --include-ignored --nocapture --exact "$name" >"$log" 2>&1 || { result=FAILED failed=$((failed + 1)); }
    line "$number" "$words" $result $(($(date +%s) - begun))
    [ $result = ok ] || tail -n 15 "$log" | sed 's/^/     | /'
done
echo "$ran scenarios, $failed failed"
[ "$ran" -gt 0 ] && [ "$failed" = 0 ]
