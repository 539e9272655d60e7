"""What an import loads: the lists of modules, which do not depend on how fast the machine is."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
before = set(sys.modules)
{statement}
loaded = set(sys.modules) - before
roots = {{name.partition(".")[0] for name in loaded}}
print(json.dumps({{
    "ours": sorted(name for name in loaded if name.partition(".")[0] == "angelica"),
    "foreign": sorted(roots - set(sys.stdlib_module_names) - {{"angelica"}}),
    "slow": sorted(roots & {{"asyncio", "email", "http", "logging", "multiprocessing", "ssl", "urllib"}}),
}}))
"""


def loaded_by(statement: str) -> dict[str, list[str]]:
    # -S: an editable install and its like load modules of their own from .pth files.
    command = [
        sys.executable,
        "-S",
        "-c",
        f"import sys; sys.path[:] = {sys.path!r}\n" + PROGRAM.format(statement=statement),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    answer: dict[str, list[str]] = json.loads(done.stdout)
    return answer


def test_importing_the_package_loads_the_standard_library_only() -> None:
    assert loaded_by("import angelica") == {"ours": ["angelica"], "foreign": [], "slow": []}


@pytest.mark.parametrize("name", ["Exponential", "Unique", "Retry", "StorageUnavailable"])
def test_values_and_errors_stay_in_the_standard_library(name: str) -> None:
    loaded = loaded_by(f"from angelica import {name}")
    assert (loaded["foreign"], loaded["slow"]) == ([], [])


def test_settings_stay_in_the_standard_library() -> None:
    assert loaded_by("from angelica import Settings")["foreign"] == []
