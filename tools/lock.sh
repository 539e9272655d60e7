#!/usr/bin/env bash
# Pin every dependency, direct and indirect, with its hashes, for all platforms: constraints.txt.
# Wants uv on the PATH. The file names no index: whoever installs from it uses the index they are set up for.
set -euo pipefail
cd "$(dirname "$0")/.."
uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-header --annotation-style line "$@" --output-file constraints.txt
