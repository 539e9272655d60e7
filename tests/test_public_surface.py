"""The public surface: every name is there, the stub says the same, and no signature changes unnoticed."""

from __future__ import annotations

import inspect

import pytest

import angelica
from angelica import errors
from tools import stub, surface


def test_every_public_name_can_be_imported_and_is_documented() -> None:
    for name in angelica.__all__:
        value = getattr(angelica, name)
        assert name == "__version__" or value.__doc__, name


def test_every_error_of_the_engine_is_public() -> None:
    ours = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert ours - set(angelica.__all__) == set()


def test_the_stub_for_type_checkers_says_the_same() -> None:
    assert stub.STUB.read_text("utf-8") == stub.render(), "run: python tools/stub.py"


def test_no_signature_changed_unnoticed() -> None:
    assert surface.SNAPSHOT.read_text("utf-8") == surface.describe(), "if it was meant: python -m tools.surface"


def test_an_unknown_name_is_refused_as_usual() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Celery'"):
        _ = angelica.Celery


def test_dir_shows_the_surface_before_anything_is_imported() -> None:
    assert set(angelica.__all__) <= set(dir(angelica))
