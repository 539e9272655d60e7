#!/usr/bin/env bash
# Make a virtual environment with Angelica (editable) and everything that constraints.txt pins, from nothing.
#   tools/setup.sh [DIRECTORY]      default: .venv; PYTHON=/path/to/python chooses the interpreter
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:-.venv}
enough='import sys; sys.exit(sys.version_info < (3, 11))'

find_python() {
  for candidate in ${PYTHON:-} python3.14 python3.13 python3.12 python3.11 python3 python; do
    # Run it: a version manager's shim stands on the PATH for versions that are not installed.
    if "$candidate" -c "$enough" 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  echo "error: no Python >= 3.11 found" >&2
  echo "hint: install one, or name it: make setup PYTHON=/path/to/python3.11" >&2
  exit 1
}

python=$(find_python)
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then  # Debian keeps these in a package of their own
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -q && apt-get install -qy --no-install-recommends python3-venv
  else
    echo "error: $python has no venv module" >&2
    echo "hint: sudo apt-get install python3-venv" >&2
    exit 1
  fi
fi

if ! "$venv/bin/python" -c "$enough" 2>/dev/null; then
  rm -rf "$venv"
  "$python" -m venv "$venv"
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  --require-hashes --only-binary :all: --requirement constraints.txt
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
echo "Angelica $("$venv/bin/python" -c 'import angelica; print(angelica.__version__)') is installed in $venv" \
  "($("$venv/bin/python" --version))"
