"""What constructors refuse, where more than one of them asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit import checks
from evalkit.errors import ConfigError


def test_a_tilde_stands_for_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert checks.path("x", "~/y") == Path("/somewhere/y")


@pytest.mark.parametrize(
    ("value", "message"),
    [("", "x is empty"), (3, "x is of type int"), ("~nosuchuser/y", "x is '~nosuchuser/y', and this machine knows no")],
)
def test_what_is_no_path_is_refused(value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        checks.path("x", value)


@pytest.mark.parametrize("key", ["a b", "a\nb", "schlüssel", "a\x7fb", "a\u00a0b"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ConfigError, match=r"^KEY holds a sign that no header can carry") as caught:
        checks.key("KEY", key)
    assert key not in str(caught.value)


def refuses(key: str) -> bool:
    try:
        checks.key("KEY", key)
    except ConfigError:
        return True
    return False


def test_every_printable_sign_of_ascii_but_the_space_may_stand_in_a_key() -> None:
    assert [sign for sign in map(chr, range(0x100)) if not refuses(sign)] == list(map(chr, range(0x21, 0x7F)))
    assert not refuses("")
