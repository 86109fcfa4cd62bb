# Boots a disk in QEMU and takes its times from the host's side. Sourced by scripts/bench.sh.

# The marker is written by a unit that both images are handed from outside, as credentials: neither has anything of the benchmark in it.
# It starts when docker.service says that it is ready, whatever else is still starting, and writes to the second serial port: a login prompt that starts on the
# first one hangs up on who writes there. What it reads after that costs nothing that is counted.
write_credentials() {
    cat >"$work/unit" <<'UNIT'
[Unit]
Description=Benchmark marker
DefaultDependencies=no
Requires=docker.service
After=docker.service
ConditionPathExists=!/etc/initrd-release

[Service]
Type=oneshot
StandardOutput=tty
StandardError=null
TTYPath=/dev/ttyS1
ExecStart=/usr/bin/echo BENCH docker ready
ExecStart=-/usr/bin/cat /run/slipway/boot.json
ExecStart=-/usr/bin/systemctl show --property=InitRDTimestampMonotonic --property=UserspaceTimestampMonotonic
ExecStart=/usr/bin/echo BENCH done
UNIT
    { cat "$work/unit" && echo 'ExecStart=/usr/bin/systemctl --no-block poweroff'; } >"$work/unit-off"
    printf '[Unit]\nWants=bench-marker.service\n' >"$work/drop-in"
    credential systemd.extra-unit.bench-marker.service unit
    credential systemd.extra-unit.bench-marker.service unit-off
    credential systemd.unit-dropin.multi-user.target~bench drop-in
}

credential() { # NAME FILE: the SMBIOS string of smbios-type-11(7)
    printf 'io.systemd.credential.binary:%s=%s' "$1" "$(base64 -w0 "$work/$2")" >"$work/$2.smbios"
}

find_firmware() {
    local pair
    for pair in "${SLIPWAY_OVMF_CODE:-}:${SLIPWAY_OVMF_VARS:-}" \
        /usr/share/OVMF/OVMF_CODE_4M.fd:/usr/share/OVMF/OVMF_VARS_4M.fd \
        /usr/share/OVMF/OVMF_CODE.fd:/usr/share/OVMF/OVMF_VARS.fd; do
        if [ -f "${pair%%:*}" ] && [ -f "${pair#*:}" ]; then
            firmware_code=${pair%%:*} firmware_variables=${pair#*:}
            return
        fi
    done
    die 'no UEFI firmware found: install ovmf, or set SLIPWAY_OVMF_CODE and SLIPWAY_OVMF_VARS'
}

# CPU seconds, user and system, that a process has used so far.
cpu_seconds() { # PID
    sed 's/.*) //' "/proc/$1/stat" | awk -v tick="$(getconf CLK_TCK)" '{printf "%.2f\n", ($12 + $13) / tick}'
}

# The machine of `slipway test`, always emulated: with KVM there would be little left to compare. With `unit` writes are thrown
# away; with `unit-off` they are kept, and the machine switches itself off in good order.
boot() { # NAME DISK.QCOW2 UNIT: adds to NAME.ready.s (wall time until Docker is ready), NAME.cpu.s and NAME.initrd.ms
    local name=$1 disk=$2 unit=$3 start line ready='' log=$logs/boot-$1.log snapshot=on
    [ "$unit" = unit ] || snapshot=off
    cp "$firmware_variables" "$work/variables.fd"
    rm -f "$work/serial"
    mkfifo "$work/serial"
    start=$EPOCHREALTIME
    "${SLIPWAY_QEMU:-qemu-system-x86_64}" -nodefaults -no-user-config -machine q35,smm=off,vmport=off \
        -accel tcg,thread=multi -cpu max,la57=off,svm=off -smp 2 -m 2048M -display none \
        -chardev "file,id=console,path=$log.console" -device isa-serial,chardev=console \
        -chardev stdio,id=marker,signal=off -device isa-serial,chardev=marker \
        -drive "if=pflash,unit=0,readonly=on,format=raw,file=$firmware_code" \
        -drive "if=pflash,unit=1,format=raw,file=$work/variables.fd" \
        -drive "if=none,id=disk0,discard=unmap,detect-zeroes=unmap,format=qcow2,cache=unsafe,snapshot=$snapshot,file=$disk" \
        -device virtio-blk-pci,drive=disk0,bootindex=1 \
        -netdev user,id=net0,restrict=on -device virtio-net-pci,netdev=net0,romfile= -device virtio-rng-pci \
        -smbios "type=11,path=$work/$unit.smbios" -smbios "type=11,path=$work/drop-in.smbios" \
        </dev/null >"$work/serial" 2>"$log.qemu" &
    qemu_pid=$!
    : >"$log"
    while IFS= read -r -t "$boot_limit" line; do
        printf '%s\n' "$line" >>"$log"
        case $line in
            *'BENCH docker ready'*)
                ready=$(elapsed "$start")
                echo "$ready" >>"$(value "$name.ready.s")"
                cpu_seconds "$qemu_pid" >>"$(value "$name.cpu.s")"
                ;;
            *'BENCH done'*) [ "$unit" = unit-off ] || break ;;
        esac
        [ "$(elapsed "$start" | cut -d. -f1)" -lt "$boot_limit" ] || break
    done <"$work/serial"
    kill "$qemu_pid" 2>/dev/null || true
    wait "$qemu_pid" 2>/dev/null || true
    qemu_pid=
    if [ -z "$ready" ]; then
        note "$name: Docker was not ready within $boot_limit s; see $log"
        return
    fi
    initrd_milliseconds "$log" >>"$(value "$name.initrd.ms")"
    say "boot: $name, Docker ready after $ready s"
}

# Ours tells itself; of an initrd with systemd in it, the time from that systemd's start to the start of the root's.
initrd_milliseconds() { # LOG
    tr -d '\r' <"$1" | awk '
        function number(key) { return match($0, "\"" key "\": *[0-9]+") ? substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3) + 0 : -1 }
        /"switch_root_ms"/ { end = number("switch_root_ms") }
        /"initrd_started_ms"/ { start = number("initrd_started_ms") }
        /^InitRDTimestampMonotonic=[1-9]/ { split($0, part, "="); start = part[2] / 1000 }
        /^UserspaceTimestampMonotonic=/ { split($0, part, "="); if (start != "" && end == "") end = part[2] / 1000 }
        END { if (start != "" && end != "") printf "%d\n", end - start }'
}

part_boot() {
    local run name ours=$bench/out/$image/disk.raw peer=$bench/peer/disk.raw
    find_firmware
    write_credentials
    [ -f "$ours" ] || die "$ours is not there: run the part 'build' first"
    [ -f "$peer" ] || die "$peer is not there: run the part 'image' first"
    # What a first boot does once (formatting, keys) is taken by itself; the pairs are boots of machines that ran before.
    for name in ours peer; do
        forget $name-first.ready.s $name-first.cpu.s $name-first.initrd.ms $name.ready.s $name.cpu.s $name.initrd.ms
        qemu-img create -q -f qcow2 -F raw -b "${!name}" "$work/$name.qcow2"
        boot "$name-first" "$work/$name.qcow2" unit-off
    done
    # In turn, so that what else the machine does falls on both.
    for run in $(seq "$runs"); do
        say "boot: pair $run of $runs"
        boot ours "$work/ours.qcow2" unit
        boot peer "$work/peer.qcow2" unit
    done
}
