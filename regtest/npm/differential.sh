#!/usr/bin/env bash
# Runs differential.mjs with the npm packages it compares with; its head says what goes in and comes out.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TAPSTAKE_NPM=$("$here/../get-npm.sh")
export TAPSTAKE_NPM
# Where the system's Node was too old, get-npm.sh left a newer one there.
PATH=$TAPSTAKE_NPM/node/node_modules/node/bin:$PATH
exec node "$here/differential.mjs" "$@"
