# Sourced by the scripts of this folder: messages, the cache, one builder at a time, Debian packages.
# shellcheck shell=bash

regtest_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=versions
. "$regtest_dir/versions"

cache=${XDG_CACHE_HOME:-$HOME/.cache}/tapstake
mkdir -p "$cache"

# Everything but the answer goes to stderr: the scripts' stdout is for `$(...)`.
say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }
die() {
    say "$*"
    exit 1
}

# Holds the lock of one thing in the cache until the script ends, so that two never make it at once.
# Whoever waited must look again whether the other has made it meanwhile.
lock() {
    command -v flock >/dev/null || die "flock is missing (Debian package util-linux)"
    exec 9>"$cache/$1.lock"
    if ! flock -n 9; then
        say "another process is making $1, waiting for it"
        flock 9
    fi
}

# Installs Debian packages where that can be done without asking anybody, and says what to do elsewhere.
install_debian() {
    local root=()
    if [ "$(id -u)" -ne 0 ]; then
        if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
            root=(sudo -n)
        else
            die "missing Debian packages, install them by hand: $*"
        fi
    fi
    command -v apt-get >/dev/null || die "no apt-get here, install what Debian calls: $*"
    say "installing $*"
    local env=(env DEBIAN_FRONTEND=noninteractive)
    # A fresh machine's package list is empty or stale: refresh it, but only when we need something.
    "${root[@]}" "${env[@]}" apt-get update -q >&2 </dev/null || say "apt-get update failed, trying the list at hand"
    "${root[@]}" "${env[@]}" apt-get install -qy --no-install-recommends "$@" >&2 </dev/null ||
        die "apt-get could not install: $*"
}

# Runs a long command with its output in a log, and shows the log's end if it fails.
logged() {
    local log=$1
    shift
    if ! "$@" >>"$log" 2>&1 </dev/null; then
        tail -n 40 "$log" >&2
        die "failed: $* (whole log: $log)"
    fi
}
