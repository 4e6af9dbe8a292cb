#!/usr/bin/env bash
# Prints the path of a bitcoind that serves our tests; bitcoin-cli lies beside the one built here.
#
# Looks at BITCOIND_EXE, then PATH, then the cache folder, and at last builds Bitcoin Core once from the
# source that the crate `libbitcoinkernel-sys` carries: about ten minutes on two cores.
#
# Environment: BITCOIND_EXE, XDG_CACHE_HOME, JOBS (compilers at once, by default one a core).
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# ElectrumX asks the node who spent an output: an index that Bitcoin Core has from version 31 on. The
# option itself is what we need, so we look for it and not at a version number.
new_enough() { "$1" -help 2>/dev/null | grep -q -e '-txospenderindex'; }

if [ -n "${BITCOIND_EXE:-}" ]; then
    new_enough "$BITCOIND_EXE" ||
        die "BITCOIND_EXE=$BITCOIND_EXE is no bitcoind with -txospenderindex (Bitcoin Core 31 or newer)"
    echo "$BITCOIND_EXE"
    exit
fi
if in_path=$(command -v bitcoind); then
    if new_enough "$in_path"; then
        echo "$in_path"
        exit
    fi
    say "$in_path has no -txospenderindex (Bitcoin Core 31 or newer), passing it over"
fi

name=bitcoind-$LIBBITCOINKERNEL_SYS
bitcoind=$cache/$name/bitcoind
if [ ! -x "$bitcoind" ]; then
    lock "$name"
fi
if [ -x "$bitcoind" ]; then
    echo "$bitcoind"
    exit
fi

command -v cargo >/dev/null || die "cargo is missing: install Rust first"
missing=()
command -v cmake >/dev/null || missing+=(cmake)
command -v make >/dev/null || missing+=(make)
command -v c++ >/dev/null || missing+=(g++)
# Asked of the compiler and not of dpkg: that answers on every system.
has_header() { command -v c++ >/dev/null && echo "#include <$1>" | c++ -x c++ -E - >/dev/null 2>&1; }
has_header boost/multi_index_container.hpp || missing+=(libboost-dev)
has_header event2/event.h || missing+=(libevent-dev)
[ ${#missing[@]} -eq 0 ] || install_debian "${missing[@]}"

# A half build must never look finished: all work is in a folder of its own, and the cache's folder
# appears by one rename. An interrupted build leaves a folder that the next one throws away.
work=$cache/$name.build
rm -rf "$work"
mkdir -p "$work/fetch/src"
log=$cache/$name.log
: >"$log"

say "getting the source of Bitcoin Core (crate libbitcoinkernel-sys $LIBBITCOINKERNEL_SYS)"
cat >"$work/fetch/Cargo.toml" <<MANIFEST
[package]
name = "fetch"
version = "0.0.0"
edition = "2021"
[dependencies]
libbitcoinkernel-sys = "=$LIBBITCOINKERNEL_SYS"
[workspace]
MANIFEST
: >"$work/fetch/src/lib.rs"
logged "$log" cargo vendor --manifest-path "$work/fetch/Cargo.toml" "$work/vendor"
source=$work/vendor/libbitcoinkernel-sys/bitcoin
[ -f "$source/CMakeLists.txt" ] || die "no Bitcoin Core source in the crate, looked at $source"

# Off: what the crate does not carry (wallet, address map data), and what nobody here needs.
off=(
    ENABLE_WALLET BUILD_WALLET_TOOL WITH_EMBEDDED_ASMAP ENABLE_IPC ENABLE_EXTERNAL_SIGNER WITH_ZMQ
    BUILD_TESTS BUILD_BENCH BUILD_GUI BUILD_TX BUILD_UTIL BUILD_BITCOIN_BIN INSTALL_MAN WITH_CCACHE
)
flags=("${off[@]/%/=OFF}")
flags=("${flags[@]/#/-D}")
jobs=${JOBS:-$(nproc 2>/dev/null || echo 2)}
say "building bitcoind with $jobs jobs, about ten minutes on two cores; log: $log"
started=$SECONDS
logged "$log" cmake -S "$source" -B "$work/build" -DCMAKE_BUILD_TYPE=Release "${flags[@]}"
logged "$log" cmake --build "$work/build" --parallel "$jobs" --target bitcoind bitcoin-cli
new_enough "$work/build/bin/bitcoind" || die "the bitcoind just built does not run; log: $log"

mkdir "$work/done"
cp "$work/build/bin/bitcoind" "$work/build/bin/bitcoin-cli" "$work/done/"
strip "$work/done/"* 2>/dev/null || true
rm -rf "${cache:?}/$name"
mv "$work/done" "$cache/$name"
rm -rf "$work"
say "built in $((SECONDS - started)) s"
echo "$bitcoind"
