#!/usr/bin/env bash
# Prints a folder whose node_modules hold what npm/package.json names, made once in the cache folder.
# The lock file stays there too: it names a registry's address, which has no place in the repository.
#
# Environment: XDG_CACHE_HOME.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# The folder's name follows the manifest, so that changed versions are installed afresh.
name=npm-$(cksum <"$regtest_dir/npm/package.json" | cut -d' ' -f1)
folder=$cache/$name
[ -d "$folder" ] || lock "$name"
if [ -d "$folder" ]; then
    echo "$folder"
    exit
fi

# The package declares Node 22 but runs on 20.
new_enough() { node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)' 2>/dev/null; }
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    install_debian nodejs npm
fi
log=$cache/$name.log
: >"$log"
work=$cache/$name.install
rm -rf "$work"
mkdir "$work"
if ! new_enough; then
    # Debian 12 has Node 18. npm's package `node` carries the program itself.
    say "node here is $(node --version 2>/dev/null || echo missing), getting a newer one from npm"
    mkdir "$work/node"
    (cd "$work/node" && logged "$log" npm install --no-audit --no-fund --no-save node@22)
    PATH=$work/node/node_modules/node/bin:$PATH
    new_enough || die "the node from npm does not run; log: $log"
fi
say "installing the npm packages of npm/package.json"
cp "$regtest_dir/npm/package.json" "$work/"
# No install scripts: none of these packages needs one to work.
(cd "$work" && logged "$log" npm install --no-audit --no-fund --ignore-scripts)
[ -f "$work/node_modules/@babylonlabs-io/btc-staking-ts/dist/index.cjs" ] ||
    die "npm installed no btc-staking-ts; log: $log"
mv "$work" "$folder"
echo "$folder"
