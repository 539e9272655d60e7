from __future__ import annotations

from tests.http.stores import house, over_stores

__all__ = ["house"]
pytest_generate_tests = over_stores
