"""Looks that end well, and looks that break off."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from evalkit.errors import ModelError
from evalkit.readiness.outcome import Check, attempted, looked

OK = Check("first", "ok", "found")


def breaking(error: Exception) -> Iterator[Check]:
    yield OK
    raise error


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (ModelError("it is not here; bring it"), "it is not here; bring it"),
        (ImportError("libc10.so: cannot open\nmore"), "could not be looked at (ImportError: libc10.so: cannot open)"),
        (KeyError("what a document says"), "could not be looked at (KeyError)"),
    ],
)
def test_what_breaks_a_look_off_is_a_fault_behind_what_was_found(error: Exception, found: str) -> None:
    """The message of an error that was not raised on purpose may quote a text."""
    checks = list(looked("second", lambda: breaking(error)))
    assert checks[0] == OK
    assert [(check.name, check.status, check.found) for check in checks[1:]] == [("second", "fault", found)]


def test_an_attempt_that_breaks_off_is_a_fault() -> None:
    assert attempted("a", lambda: "b") == Check("a", "ok", "b")
    assert attempted("a", lambda: str(1 / 0)).found == "could not be looked at (ZeroDivisionError)"
