"""How our own processes log: to stderr, as text for eyes or as JSON for collectors."""

from __future__ import annotations

import logging

from angelica.cli.state import GlobalOptions
from angelica.observe.formats import configure


def set_up_logs(form: str, options: GlobalOptions) -> None:
    """Set up logging for this process, once, before the app is imported."""
    configure("json" if form == "json" else "text", "WARNING" if options.quiet else "INFO")
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)  # each request and each start would be a line
