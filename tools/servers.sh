#!/usr/bin/env bash
# Install what the tests run beside them where that is ours to do: as root, on Debian. Elsewhere the tests use the
# PostgreSQL of a wheel, and say what they miss. The package may start a server of its own: the tests do not touch it.
set -euo pipefail

missing=()
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
PATH="$PATH:/usr/sbin" command -v pgbouncer >/dev/null || missing+=(pgbouncer)

if [ "${#missing[@]}" -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q && apt-get install -qy --no-install-recommends "${missing[@]}" ||
    echo "warning: could not install ${missing[*]}" >&2
fi
