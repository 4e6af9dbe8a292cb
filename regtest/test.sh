#!/usr/bin/env bash
# Runs every test of the workspace, those on real daemons among them. Needs Rust; gets all else by itself, once:
# Debian packages, bitcoind (built, about ten minutes on two cores), ElectrumX, the npm package to compare with.
#
# Arguments go to cargo: ./regtest/test.sh -p tapstake-chain
# Environment: BITCOIND_EXE, ELECTRUMX_EXE, XDG_CACHE_HOME, JOBS.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

started=$SECONDS
trap 'status=$?; [ $status -eq 0 ] || say "FAILED after $((SECONDS - started)) s (exit code $status)"' EXIT

command -v cargo >/dev/null || die "cargo is missing: install Rust first"
missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v c++ >/dev/null || missing+=(g++)
# ElectrumX's certificate, where a test wants TLS.
command -v openssl >/dev/null || missing+=(openssl)
[ ${#missing[@]} -eq 0 ] || install_debian "${missing[@]}"

BITCOIND_EXE=$("$regtest_dir/get-bitcoind.sh")
ELECTRUMX_EXE=$("$regtest_dir/get-electrumx.sh")
npm=$("$regtest_dir/get-npm.sh")
export BITCOIND_EXE ELECTRUMX_EXE
say "bitcoind   $BITCOIND_EXE ($("$BITCOIND_EXE" -version | head -n 1))"
say "ElectrumX  $ELECTRUMX_EXE"
say "npm        $npm"
say "ready after $((SECONDS - started)) s, testing"

cd "$regtest_dir/.."
select=(--workspace)
for argument in "$@"; do
    # A choice of packages takes the place of all of them.
    case $argument in -p | -p?* | --package | --package=*) select=() ;; esac
done
cargo test "${select[@]}" --features daemons "$@" </dev/null
say "all tests passed, after $((SECONDS - started)) s"
