# A Debian in a directory of its own, with a cross compiler, an emulator and herd7, for ci/herd and
# ci/aarch64. A script sources this file after common.sh, adds `debian_options` to its options, and
# calls `enter_debian` after `enter_repository`.
# shellcheck shell=bash

readonly suite=forky
readonly triple=aarch64-unknown-linux-gnu
readonly packages=(cargo rustc libstd-rust-dev:arm64 gcc gcc-aarch64-linux-gnu libc6-dev libc6-dev-arm64-cross
    herdtools7 procps qemu-user tmux)
# Where the repository, the sources of its dependencies, and its builds are in there.
readonly repository_inside=/tearless
readonly vendor_inside=/var/cache/tearless/vendor
readonly target_inside=/var/cache/tearless/target
readonly cargo_inside=/var/cache/tearless/cargo

declare -A debian_options=([root]=text [mirror]=text)
root=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/tearless
mirror=${TEARLESS_DEBIAN_MIRROR:-http://deb.debian.org/debian}
debian_help() {
    cat <<'HELP'
  --root DIR    where the Debian is, or is made: about 3 GB, kept for the next run (default:
                tearless in $XDG_CACHE_HOME or ~/.cache)
  --mirror URL  where its packages are from (default: $TEARLESS_DEBIAN_MIRROR, or Debian's own)
HELP
}

# Makes the Debian unless it exists, and mounts what its processes need. The mounts disappear with
# the script's mount namespace (`own_shared_memory`).
enter_debian() {
    ((EUID == 0)) || fail "$script makes and enters a Debian of its own (debootstrap, chroot): run it as root"
    [[ -z ${common_before+set} ]] ||
        fail "$script mounts /proc and /dev for a Debian of its own: run it where mount namespaces are allowed"
    debian=$root/$suite
    if [[ -f $debian/var/lib/tearless ]]; then
        mount_system
    else
        make_debian
    fi
    printf '127.0.0.1 localhost\n' >"$debian/etc/hosts"
    mkdir -p "$debian$repository_inside"
    mount --bind "$PWD" "$debian$repository_inside"
    mount -o remount,bind,ro "$debian$repository_inside"
}

mount_system() {
    # With a mount as their root, processes in there can have mount namespaces of their own.
    mount --bind "$debian" "$debian"
    mount -t proc proc "$debian/proc"
    mount --rbind /sys "$debian/sys"
    mount --rbind /dev "$debian/dev"
}

# The last step marks the Debian as whole: one that was interrupted is made again.
make_debian() {
    command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"
    printf 'making a Debian %s in %s\n' "$suite" "$debian"
    rm -rf --one-file-system "$debian"
    mkdir -p "$root"
    # An older debootstrap does not know the suite; the script of sid fits each new one.
    local scripts=/usr/share/debootstrap/scripts how=()
    [[ -e $scripts/$suite ]] || how=("$scripts/sid")
    debootstrap --variant=minbase "$suite" "$debian" "$mirror" "${how[@]}" >"$root/log" 2>&1 ||
        { tail -n 20 "$root/log" >&2 && fail "debootstrap failed: see $root/log"; }
    # A mirror may be a snapshot of some day. The packages' signatures are checked all the same.
    printf 'deb [check-valid-until=no] %s %s main\n' "$mirror" "$suite" >"$debian/etc/apt/sources.list"
    rm -f "$debian"/etc/apt/sources.list.d/*
    cp /etc/resolv.conf "$debian/etc/resolv.conf"
    printf '%s\n' force-unsafe-io 'path-exclude=/usr/share/doc/*' 'path-exclude=/usr/share/man/*' \
        'path-exclude=/usr/share/locale/*' >"$debian/etc/dpkg/dpkg.cfg.d/small"
    mount_system
    local install=(apt-get install --yes --no-install-recommends "${packages[@]}")
    if ! inside sh -c "dpkg --add-architecture arm64 && apt-get update && ${install[*]} && apt-get clean" \
        >>"$root/log" 2>&1; then
        tail -n 20 "$root/log" >&2
        fail "the packages can't be installed: see $root/log"
    fi
    mkdir -p "$debian$target_inside"
    touch "$debian/var/lib/tearless"
}

# Runs a command in the Debian, with these variables and no others.
inside() {
    chroot "$debian" /usr/bin/env --ignore-environment HOME=/ LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        CARGO_HOME=$cargo_inside CARGO_TARGET_DIR=$target_inside \
        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
        ${CARGO_BUILD_JOBS:+CARGO_BUILD_JOBS="$CARGO_BUILD_JOBS"} "${variables[@]}" "$@"
}
variables=()

# Copies the sources of the dependencies into the Debian. Its cargo uses no network.
vendor() {
    cargo vendor --quiet --locked --versioned-dirs "$debian$vendor_inside" >"$root/log" 2>&1 ||
        { cat "$root/log" >&2 && fail "the dependencies can't be downloaded"; }
    mkdir -p "$debian$cargo_inside"
    printf '%s\n' '[source.crates-io]' 'replace-with = "vendored"' '[source.vendored]' \
        "directory = \"$vendor_inside\"" >"$debian$cargo_inside/config.toml"
}

# cargo in the Debian, in the repository, for aarch64.
cross() {
    local command=$1
    shift
    inside sh -c 'cd "$0" && exec cargo "$@"' "$repository_inside" "$command" --locked --offline --target "$triple" "$@"
}
