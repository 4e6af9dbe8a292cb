#!/usr/bin/env bash
# Starts a bitcoind and an ElectrumX of your own, prints how to reach them, and stops both at Ctrl-C.
# What is missing is got first (bitcoind: built once, about ten minutes). Options: up.sh --help
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
case " $* " in
*" -h "* | *" --help "*) ;;
*)
    BITCOIND_EXE=$("$here/get-bitcoind.sh")
    ELECTRUMX_EXE=$("$here/get-electrumx.sh")
    export BITCOIND_EXE ELECTRUMX_EXE
    ;;
esac
exec cargo run --quiet --manifest-path "$here/Cargo.toml" --bin regtest-up -- "$@"
