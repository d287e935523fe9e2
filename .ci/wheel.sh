#!/usr/bin/env bash
# The Python package: its wheel, installed into an environment of its own and tested there, beside the program from the same
# sources. An argument names the program; without one it is built.
set -euo pipefail
cd "$(dirname "$0")/.."
program=${1:-target/release/blis}
[ -x "$program" ] || cargo build --release --quiet -p blis-cli
program=$(realpath "$program")

venv=${BLIS_WHEEL_VENV:-target/wheel/venv}
wheels=target/wheel/dist
wanted=.ci/wheel.txt
if ! cmp --silent "$wanted" "$venv/installed"; then
  echo "installing what the package is built and tested with into $venv"
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --requirement "$wanted"
  cp "$wanted" "$venv/installed"
fi
venv=$(realpath "$venv")
rm -rf "$wheels"
PATH="$venv/bin:$PATH" maturin build --release --quiet --manifest-path python/Cargo.toml --out "$wheels"
"$venv/bin/pip" install --quiet --force-reinstall --no-deps "$wheels"/blis-*.whl

# Beside the sources Python would take those instead of what is installed.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r python/tests python/examples docs/python.md python/pyproject.toml "$work"
cd "$work"
"$venv/bin/python" -c 'import blis, sys; sys.exit(not blis.__file__.startswith(sys.prefix))'
BLIS_PROGRAM=$program BLIS_TRIALS=8 "$venv/bin/python" -m pytest --quiet -p no:cacheprovider tests
"$venv/bin/python" -m mypy --config-file pyproject.toml examples tests/check_types.py
"$venv/bin/python" -m mypy.stubtest blis --ignore-missing-stub
