# What the benchmark compares with: the same packages, put together by others. Sourced by scripts/bench.sh.

debian_keyring=/usr/share/keyrings/debian-archive-keyring.gpg
peer_release=trixie

# The base URL of an archive by the last part of its path: as `slipway` finds it.
mirror_of() { # debian|debian-security
    local given=${SLIPWAY_MIRROR:-}
    if [ -n "$given" ]; then
        given=${given%/}
        if [ "$1" = debian ]; then echo "$given"; else echo "${SLIPWAY_SECURITY_MIRROR:-$given-security}"; fi
        return
    fi
    cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -v '^[[:space:]]*#' \
        | grep -oE "https?://[^ ]+/$1/?( |\$)" | head -1 | sed 's,/* *$,,'
}

peer_sources() {
    local debian security signed="[signed-by=$debian_keyring]"
    debian=$(mirror_of debian || true)
    [ -n "$debian" ] || die 'no Debian mirror in the apt sources; set SLIPWAY_MIRROR'
    security=$(mirror_of debian-security || true)
    echo "deb $signed $debian $peer_release main"
    echo "deb $signed $debian $peer_release-updates main"
    echo "deb $signed ${security:-$debian-security} $peer_release-security main"
}

# The packages of the lock, without those that only the image's own making needs, and without the kernel's exact version: the
# archive may have the next one.
peer_packages() {
    awk -F'"' '/^name = /{name=$2} /^role = "root"/{print name}' "$lock" | grep -vE '^linux-image-[0-9]' | paste -sd,
}

# A tree with the packages' scripts run. What is fetched is kept in out/bench/peer/apt, so that a second run only
# asks the mirror whether its indexes are new.
bootstrap() { # OUTPUT [MORE OPTIONS OF mmdebstrap]
    local output=$1 apt=$bench/peer/apt
    shift
    mkdir -p "$apt/archives" "$apt/lists"
    peer_sources >"$bench/peer/sources.list"
    # No initrd by a hook of the kernel package: this is about the tree, and dracut is run by itself.
    as_root env INITRD=No mmdebstrap --mode=root --quiet --variant=apt --architectures=amd64 --include="$(peer_packages)" \
        --skip=essential/unlink \
        --setup-hook="mkdir -p \"\$1/var/cache/apt/archives\" \"\$1/var/lib/apt/lists\"" \
        --setup-hook="cp -a '$apt/archives/.' \"\$1/var/cache/apt/archives\"" \
        --setup-hook="cp -a '$apt/lists/.' \"\$1/var/lib/apt/lists\"" \
        "$@" "$peer_release" "$output" "$bench/peer/sources.list"
}

part_tree() {
    # mmdebstrap has no time of its own for what it fetches: the first run, which fills the cache, doesn't count.
    if ! ls "$bench"/peer/apt/archives/docker.io_*.deb >/dev/null 2>&1; then
        say 'peer: mmdebstrap fills its package cache'
        quietly tree-fill bootstrap "$bench/peer/tree.tar" \
            --customize-hook="cp -a \"\$1/var/cache/apt/archives/.\" '$bench/peer/apt/archives'" \
            --customize-hook="cp -a \"\$1/var/lib/apt/lists/.\" '$bench/peer/apt/lists'"
    fi
    say 'peer: mmdebstrap, tree only, warm package cache'
    as_root rm -f "$bench/peer/tree.tar"
    forget tree
    measure tree bootstrap "$bench/peer/tree.tar"
}

# The same packages with dracut's initrd, as a disk that boots. Made once; remove out/bench/peer to make it anew.
part_image() {
    local peer=$bench/peer disk=$bench/peer/disk.raw tree=$bench/peer/tree
    if [ -s "$disk" ] && [ "$disk" -nt "$lock" ]; then
        return
    fi
    say 'peer: stock root with a dracut initrd (made once, some minutes)'
    forget image
    as_root rm -rf "$tree" "$disk" "$disk.part"
    mkdir -p "$peer"
    measure image stock_root "$tree"
    as_root du -sx --block-size=1 "$tree" | cut -f1 >"$(value peer-root-bytes)"
    as_root chroot "$tree" dpkg-query -f '.\n' -W | wc -l >"$(value peer-packages)"
    stock_disk "$tree" "$disk.part"
    mv "$disk.part" "$disk"
    as_root rm -rf "$tree"
}

stock_root() { # TREE
    # What differs from plain packages, in the peer's favour or for a like comparison:
    # - a machine id, or systemd-firstboot would ask its questions at the console;
    # - networkd runs and nothing waits for the network, as in our recipe;
    # - the initrd is for any machine (there is none to look at), as the distribution's installer media have it.
    bootstrap "$1" --include=dracut,systemd-boot-efi --format=directory \
        --customize-hook='chroot "$1" systemctl enable systemd-networkd.service' \
        --customize-hook='chroot "$1" systemctl disable systemd-networkd-wait-online.service' \
        --customize-hook='kernel=$(ls "$1/usr/lib/modules") && chroot "$1" dracut --force --no-hostonly --quiet "/boot/initrd.img-$kernel" "$kernel"'
    echo 0123456789abcdef0123456789abcdef | as_root tee "$1/etc/machine-id" >/dev/null
}

# ESP with systemd-boot and one entry, root as ext4.
stock_disk() { # TREE DISK
    local tree=$1 disk=$2 kernel esp=$bench/peer/esp.img root=$bench/peer/root.img
    kernel=$(ls "$tree/usr/lib/modules")
    as_root cp "$tree/boot/vmlinuz-$kernel" "$work/vmlinuz"
    as_root cp "$tree/boot/initrd.img-$kernel" "$work/initrd"
    as_root chmod a+r "$work/vmlinuz" "$work/initrd"
    stat -c %s "$work/vmlinuz" "$work/initrd" | awk '{sum += $1} END {print sum}' >"$(value peer-kernel-bytes)"

    rm -f "$esp" "$root"
    truncate -s 256M "$esp"
    mkfs.vfat -n ESP "$esp" >/dev/null
    mmd -i "$esp" ::/EFI ::/EFI/BOOT ::/loader ::/loader/entries
    mcopy -i "$esp" "$tree/usr/lib/systemd/boot/efi/systemd-bootx64.efi" ::/EFI/BOOT/BOOTX64.EFI
    mcopy -i "$esp" "$work/vmlinuz" "$work/initrd" ::/
    echo 'timeout 0' >"$work/loader.conf"
    printf '%s\n' 'title Debian' 'linux /vmlinuz' 'initrd /initrd' \
        'options root=LABEL=stock-root rw console=tty0 console=ttyS0 quiet' >"$work/stock.conf"
    mcopy -i "$esp" "$work/loader.conf" ::/loader/
    mcopy -i "$esp" "$work/stock.conf" ::/loader/entries/

    truncate -s 6G "$root"
    as_root mke2fs -q -t ext4 -L stock-root -d "$tree" "$root"

    rm -f "$disk"
    truncate -s 7G "$disk"
    printf '%s\n' 'label: gpt' 'start=1MiB, size=256MiB, type=uefi, name=esp' 'start=257MiB, size=6GiB, type=linux, name=root' \
        | sfdisk -q "$disk"
    dd if="$esp" of="$disk" bs=1M seek=1 conv=notrunc,sparse status=none
    dd if="$root" of="$disk" bs=1M seek=257 conv=notrunc,sparse status=none
    rm -f "$esp" "$root"
}

# mkosi makes a bootable image of the same packages by itself. Only where it is installed and new enough to know the release: on
# Debian 12 that takes backports, which would exchange this machine's systemd.
part_mkosi() {
    local folder=$bench/peer/mkosi version
    forget mkosi
    if ! command -v mkosi >/dev/null; then
        note 'mkosi: not installed, left out (Debian 12: mkosi and systemd-ukify from backports)'
        return
    fi
    version=$(mkosi --version | grep -oE '[0-9]+' | head -1)
    if [ "$version" -lt 20 ]; then
        note "mkosi: version $version is too old for $peer_release, left out"
        return
    fi
    as_root mkdir -p "$folder/cache" "$folder/out"
    say "peer: mkosi $version"
    if ! (measure mkosi-fill run_mkosi "$folder" && measure mkosi run_mkosi "$folder"); then
        forget mkosi
        note "mkosi: version $version failed: $(grep -aE '[^[:space:]]' "$logs/mkosi-fill.log" | tail -1)"
    fi
    forget mkosi-fill
    local uki
    uki=$(as_root find "$folder/out" -name '*.efi' -size +1M | head -1)
    [ -z "$uki" ] || as_root stat -L -c %s "$uki" >"$(value mkosi-uki-bytes)"
}

# Its own list of sources has the archive of debugging symbols, which a mirror needn't have. Without ukify the image boots the kernel and
# its initrd as they are.
run_mkosi() { # FOLDER
    local sources=$1/apt/etc/apt/sources.list.d uki=yes
    as_root mkdir -p "$sources"
    peer_sources | as_root tee "$sources/peer.list" >/dev/null
    as_root touch "$sources/mkosi.sources"
    command -v ukify >/dev/null || uki=no
    as_root mkosi --directory="$1" --package-manager-tree="$1/apt" --unified-kernel-images=$uki --force --distribution=debian --release="$peer_release" --mirror="$(mirror_of debian)" \
        --architecture=x86-64 --bootable=yes --format=disk --with-recommends=no --package-cache-dir="$1/cache" \
        --package="$(peer_packages),systemd-boot" --output-dir="$1/out" build
}
