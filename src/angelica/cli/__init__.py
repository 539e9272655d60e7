"""The command line; this module holds only its entry point, so that it starts before anything is imported."""

from __future__ import annotations

import sys

from angelica import __version__


def main() -> None:
    """Run the command line and exit with its code."""
    if sys.argv[1:] in (["version"], ["--version"]):  # answered without click: the most called command of all
        sys.stdout.write(f"angelica {__version__}\n")
        return
    from angelica.cli.root import run

    sys.exit(run(sys.argv[1:]))
