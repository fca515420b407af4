"""Constructors refuse what no store could work with, and say what they expect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import ConfigError
from evalkit.stores.cache import SqliteCache
from evalkit.stores.edge import EdgeStore
from evalkit.stores.qdrant import ServerStore

FIT = {
    "url": "http://localhost:6333",
    "api_key_env": "EVALKIT_TEST_KEY",
    "timeout_s": 5,
    "batch_size": 64,
    "prefix": "test-",
}


@pytest.mark.parametrize("name", ["timeout_s", "batch_size"])
@pytest.mark.parametrize("value", ["abc", "5", 0, -1, 2.5, 2.0, True, None])
def test_what_is_no_whole_number_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        ServerStore(**{**FIT, name: value})
    assert str(caught.value) == f"vector_store.{name} is {value!r}; expected a whole number of at least 1"


@pytest.mark.parametrize("name", ["url", "api_key_env", "prefix"])
@pytest.mark.parametrize(
    ("value", "kind"), [(5, "of type int"), (None, "null"), (True, "of type bool"), (["pa55word"], "of type list")]
)
def test_what_is_no_text_is_refused_and_not_repeated(name: str, value: Any, kind: str) -> None:
    with pytest.raises(ConfigError, match=rf"vector_store\.{name} is {kind}; expected text") as caught:
        ServerStore(**{**FIT, name: value})
    assert "pa55word" not in str(caught.value)


@pytest.mark.parametrize(("kind", "name"), [(EdgeStore, "vector_store.path"), (SqliteCache, "cache.path")])
@pytest.mark.parametrize(
    ("value", "found"), [(None, "null"), (5, "of type int"), (True, "of type bool"), ("", "empty")]
)
def test_what_is_no_path_is_refused(kind: type[Any], name: str, value: Any, found: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is {found}; expected a path"):
        kind(value)


def test_what_fits_is_taken(tmp_path: Path) -> None:
    ServerStore(**{**FIT, "timeout_s": 1, "batch_size": 1, "prefix": ""})  # type: ignore[arg-type]
    for path in (tmp_path / "a", str(tmp_path / "a")):
        EdgeStore(path)
        SqliteCache(path)
    assert list(tmp_path.iterdir()) == []  # nothing is opened yet
