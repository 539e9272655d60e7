"""The example application: one engine, and the modules that declare its tasks.

`angelica dev` in this directory runs it; `uvicorn app:app` runs the FastAPI version in web.py.
"""

from angelica import Engine

engine = Engine()

# Importing a module declares its tasks.
import mail  # noqa: E402, F401
import pages  # noqa: E402, F401
import reports  # noqa: E402, F401
