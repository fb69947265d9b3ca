#!/usr/bin/env bash
# The crawl bench of ../shared/bench with crawlmill among the peers, from a fresh, ordinary install of this checkout.
#
#     benchmarks/side_by_side.sh --site postgresql --site cppreference --site multi \
#         --peer bare_pool --peer ours --peer ours_fields --peer scrapy_twisted --repeat 5
#
# Needs ../shared/bench/setup.sh to have been run once (root, Debian 12: nginx, documentation packages, peers).
set -euo pipefail
unset PYTHONDONTWRITEBYTECODE # an installed package has its bytecode; so shall this one
here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
export BENCH_HOME=${BENCH_HOME:-${TMPDIR:-/tmp}/peers}
[ -d "$BENCH_HOME/ours" ] || python3 -m venv "$BENCH_HOME/ours"
"$BENCH_HOME/ours/bin/python" -m pip install --quiet "$top"
"$BENCH_HOME/ours/bin/python" -m pip install --quiet --force-reinstall --no-deps "$top"
bench=$(mktemp -d)
trap 'rm -rf "$bench"' EXIT
cp -r "$top/../shared/bench/." "$bench"
cp "$here"/peers/*.py "$bench/peers/"
python3 "$bench/run.py" "$@"
