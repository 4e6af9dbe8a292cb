#!/usr/bin/env bash
# Prints the path of electrumx_server, made once: the PyPI package `e-x` (`electrumx` is another coin's)
# in a virtual environment in the cache folder. Takes well under a minute.
#
# Environment: ELECTRUMX_EXE (used as it is), PYTHON (3.10 or newer), XDG_CACHE_HOME.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

if [ -n "${ELECTRUMX_EXE:-}" ]; then
    [ -x "$ELECTRUMX_EXE" ] || die "ELECTRUMX_EXE=$ELECTRUMX_EXE is not executable"
    echo "$ELECTRUMX_EXE"
    exit
fi

name=electrumx-$E_X
venv=$cache/$name
server=$venv/bin/electrumx_server
# A virtual environment cannot be renamed into place, since its scripts name its path: so a mark, written last,
# tells a finished one from a half one. Its python may have gone with an upgrade: then it is made anew.
finished() { [ -f "$venv/finished" ] && "$venv/bin/python3" -c 'import electrumx' 2>/dev/null; }
finished || lock "$name"
if finished; then
    echo "$server"
    exit
fi

python=${PYTHON:-python3}
new_enough() { "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; }
has_venv() { "$python" -c 'import venv, ensurepip' 2>/dev/null; }
if ! command -v "$python" >/dev/null || ! has_venv; then
    install_debian python3 python3-venv
fi
new_enough || die "ElectrumX needs Python 3.10 or newer, $python is $("$python" --version 2>&1): set PYTHON"
has_venv || die "$python has no venv module"

log=$cache/$name.log
: >"$log"
rm -rf "$venv"
say "installing ElectrumX $E_X into $venv"
logged "$log" "$python" -m venv "$venv"
pip=("$venv/bin/python3" -m pip install --disable-pip-version-check --no-input -c "$regtest_dir/electrumx/constraints.txt")
logged "$log" "${pip[@]}" "e-x[leveldb]==$E_X"
"$venv/bin/python3" -c 'import electrumx, plyvel' || die "ElectrumX does not import; log: $log"
[ -x "$server" ] || die "no $server after the installation; log: $log"
touch "$venv/finished"
echo "$server"
