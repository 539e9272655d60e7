"""The redactor: secrets go, everything else stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angelica.observe.redaction import MASK, Redactor


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password=hunter2", "password=[redacted]"),
        ("db_password: hunter2, user: bob", "db_password: [redacted], user: bob"),
        ('{"apiKey": "k\\"1", "name": "bob"}', '{"apiKey": [redacted], "name": "bob"}'),
        ("{'client_secret': 'it is', 'a': 1}", "{'client_secret': [redacted], 'a': 1}"),
        ('password="cut off', "password=[redacted] off"),
        ("AWS_SECRET_ACCESS_KEY=abc/def", "AWS_SECRET_ACCESS_KEY=[redacted]"),
        ("x-api-key: 12", "x-api-key: [redacted]"),
        ("Authorization: Bearer abc.def.ghi", "Authorization: [redacted]"),
        ("sent 'bearer abcdefgh12'", "sent 'bearer [redacted]'"),
        ("GET /x?token=abc&page=2", "GET /x?token=[redacted]&page=2"),
        ("postgresql://bob:hunter2@db/app", "postgresql://bob:[redacted]@db/app"),
        ("password2=x", "password2=[redacted]"),
        ("max_tokens=100 token_count=5", "max_tokens=100 token_count=5"),
        ("https://example.org/a:b@c", "https://example.org/a:b@c"),
        ("the secret of the basic path", "the secret of the basic path"),
        ("TokenError: bad", "TokenError: bad"),
    ],
)
def test_text(text: str, shown: str) -> None:
    assert Redactor().text(text) == shown


def test_known_secrets_go_wherever_they_stand_the_longest_first() -> None:
    redactor = Redactor(["s3cret-value", "s3cret-value-long", "short"])
    assert redactor.text("a s3cret-value-long b s3cret-value c short") == f"a {MASK} b {MASK} c short"
    redactor.add("another.one")
    assert redactor.text("another.one, anotherXone") == f"{MASK}, anotherXone"


def test_values_are_walked() -> None:
    value = {"user": "bob", "password": "x", "nested": [{"accessToken": 5, "token_count": 5}], "url": "a://u:p@h"}
    assert Redactor().value(value) == {
        "user": "bob",
        "password": MASK,
        "nested": [{"accessToken": MASK, "token_count": 5}],
        "url": f"a://u:{MASK}@h",
    }


@pytest.mark.parametrize(
    "name", ["password", "DB_PASSWORD", "apiKey", "X-API-Key", "Set-Cookie", "secret_key", "token"]
)
def test_telling_names(name: str) -> None:
    assert Redactor().tells(name)


@pytest.mark.parametrize("name", ["", "user", "tokens", "token_count", "compass", "secretary", "keyboard"])
def test_other_names(name: str) -> None:
    assert not Redactor().tells(name)


@given(st.text(st.sampled_from("tokenpassword=:\"' @/abearer"), max_size=200))
def test_redacting_twice_is_redacting_once(text: str) -> None:
    once = Redactor().text(text)
    assert Redactor().text(once) == once


@pytest.mark.timeout(5)
@pytest.mark.parametrize(
    "text", ["a" * 100_000, "token" * 20_000, 'token="' * 15_000, "://a:" * 20_000, "token   " * 9000]
)
def test_no_text_takes_long(text: str) -> None:
    Redactor().text(text)
