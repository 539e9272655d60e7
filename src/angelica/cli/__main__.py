"""`python -m angelica.cli`, which the supervisor uses to start its children."""

from __future__ import annotations

from angelica.cli import main

if __name__ == "__main__":
    main()
