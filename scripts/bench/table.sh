# The table at the end. Sourced by scripts/bench.sh. A figure that no part has measured yet is a dash.

# The median of a file of numbers, one a line; nothing if there is none.
median() { # FILE [FACTOR]
    [ -s "$1" ] || return 0
    sort -n "$1" | awk -v factor="${2:-1}" '
        { number[NR] = $1 }
        END { middle = int((NR + 1) / 2); printf "%.6f", factor * (NR % 2 ? number[middle] : (number[middle] + number[middle + 1]) / 2) }'
}

largest() { # FILE [FACTOR]
    [ -s "$1" ] || return 0
    sort -n "$1" | tail -1 | awk -v factor="${2:-1}" '{printf "%.6f", factor * $1}'
}

# BUDGET LIMIT UNIT DIGITS OURS PEER NAME-OF-PEER: OURS is over if it is above LIMIT; no limit, no verdict.
row() {
    awk -v budget="$1" -v limit="$2" -v unit="$3" -v digits="$4" -v ours="$5" -v peer="$6" -v of="$7" '
        function shown(number) { return number == "" ? "-" : sprintf("%.*f %s", digits, number, unit) }
        BEGIN {
            verdict = limit == "" || ours == "" ? "-" : ours + 0 <= limit + 0 ? "ok" : "OVER"
            ratio = ours == "" || peer == "" || peer + 0 == 0 ? "-" : sprintf("%.3f", ours / peer)
            printf "%-46s %10s %10s %10s %7s  %-5s %s\n", budget, limit == "" ? "-" : limit " " unit, shown(ours), shown(peer), ratio, verdict, of
        }'
}

table() {
    local MB=0.000001 kB=0.001024 our_ready peer_ready our_cpu peer_cpu
    our_ready=$(median "$(value ours.ready.s)") peer_ready=$(median "$(value peer.ready.s)")
    our_cpu=$(median "$(value ours.cpu.s)") peer_cpu=$(median "$(value peer.cpu.s)")
    echo
    printf '%-46s %10s %10s %10s %7s  %-5s %s\n' budget limit ours peer ratio '' 'the peer'
    row 'clean build, warm package cache' 12 s 2 "$(median "$(value clean.s)")" "$(median "$(value tree.s)")" 'mmdebstrap: tree only, warm cache'
    if [ -s "$(value mkosi.s)" ]; then
        row 'the same beside mkosi' 12 s 2 "$(median "$(value clean.s)")" "$(median "$(value mkosi.s)")" 'mkosi: a disk image, warm cache'
    fi
    row 'build, one file of the recipe changed' 3 s 2 "$(median "$(value changed.s)")" '' ''
    row 'build, nothing changed' 0.3 s 2 "$(median "$(value unchanged.s)")" '' ''
    row 'peak memory, clean build' 700 MB 0 "$(largest "$(value clean.kb)" $kB)" "$(largest "$(value tree.kb)" $kB)" 'mmdebstrap: its largest process'
    row 'peak memory, one file changed' 700 MB 0 "$(largest "$(value changed.kb)" $kB)" '' ''
    row 'unified kernel image' 13 MB 1 "$(median "$(value uki-bytes)" $MB)" "$(median "$(value peer-kernel-bytes)" $MB)" "kernel and dracut's initrd"
    row 'root' 360 MB 0 "$(median "$(value root-bytes)" $MB)" "$(median "$(value peer-root-bytes)" $MB)" 'stock root, files on disk'
    row 'packages in the root' 115 '' 0 "$(median "$(value packages)")" "$(median "$(value peer-packages)")" 'stock root'
    row 'initrd start to switch-root' 1 s 2 "$(median "$(value ours.initrd.ms)" 0.001)" "$(median "$(value peer.initrd.ms)" 0.001)" 'dracut, QEMU without KVM'
    row 'Docker ready, from the start of QEMU' '' s 1 "$our_ready" "$peer_ready" 'stock root with dracut, QEMU without KVM'
    if [ -n "$our_ready" ] && [ -n "$peer_ready" ]; then
        row '  as a part of the peer (aim 0.45)' 0.55 '' 2 "$(ratio "$our_ready" "$peer_ready")" '' ''
    fi
    row '  CPU time of QEMU until then' '' s 1 "$our_cpu" "$peer_cpu" 'likewise'
    row '  likewise at the very first boot' '' s 1 "$(median "$(value ours-first.ready.s)")" "$(median "$(value peer-first.ready.s)")" \
        'ours formats /var and makes host keys, the peer has both'
    update_rows
    echo
    echo "Medians of $(count clean.s) builds and $(count ours.ready.s) pairs of boots; MB are millions of bytes."
    pairs
    echo "Load of the machine at the end: $(cut -d' ' -f1-3 /proc/loadavg); processors: $(nproc)."
    [ ! -s "$bench/notes" ] || cat "$bench/notes"
}

update_rows() {
    local MB=0.000001 kB=0.001024 floor size
    floor=$(median "$(value update-floor)") size=$(median "$(value update-root-size)")
    [ -n "$floor" ] && [ -n "$size" ] || return 0
    row 'update: patch of the root, MB' '' MB 3 "$(median "$(value update-root-bytes)" $MB)" "$(median "$(value update-casync-like)" $MB)" \
        'casync-like chunks of the same pair'
    row '  in parts of the floor' 1.25 '' 3 "$(ratio "$(median "$(value update-root-bytes)")" "$floor")" \
        "$(ratio "$(median "$(value update-casync-like)")" "$floor")" "the floor is ${floor%.*} bytes: per file, bsdiff or zstd"
    row '  and of the kernel image' '' MB 2 "$(median "$(value update-uki-bytes)" $MB)" "$(median "$(value update-uki-floor)" $MB)" 'its floor'
    row '  made in, root' 180 s 1 "$(median "$(value update-root-seconds)")" '' ''
    row '  made with, peak memory' '' MB 0 "$(largest "$(value update-make-kb)" $kB)" '' ''
    row '  root applied in (40 MB/s)' "$(awk -v size="$size" 'BEGIN {printf "%.1f", size / 4e7}')" s 1 "$(median "$(value update-apply-seconds)")" '' ''
    row '  applied with, peak memory' 32 MB 0 "$(largest "$(value update-apply-kb)" $kB)" '' ''
}

ratio() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.6f", a / b}'; }

count() {
    if [ -s "$(value "$1")" ]; then wc -l <"$(value "$1")"; else echo 0; fi
}

# Each pair by itself: what else the machine does shows here.
pairs() {
    if [ -s "$(value ours.ready.s)" ] && [ -s "$(value peer.ready.s)" ]; then
        paste "$(value ours.ready.s)" "$(value peer.ready.s)" "$(value ours.cpu.s)" "$(value peer.cpu.s)" \
            | awk '{printf "Pair %d: %.1f s beside %.1f s (%.2f), CPU %.1f s beside %.1f s (%.2f).\n", NR, $1, $2, $1 / $2, $3, $4, $3 / $4}'
    fi
}
