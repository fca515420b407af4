"""Words behind a command: what is an override, and what is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.commands.words import split
from evalkit.errors import ConfigError


@pytest.mark.usefixtures("home")
def test_a_folder_with_an_equals_sign_in_its_name_is_no_override() -> None:
    Path("a=b").mkdir()
    assert split(["a=b", "c=d"]) == ("a=b", ["c=d"])


def test_a_value_that_is_longer_than_any_file_name_is_an_override() -> None:
    word = f"cache_dir={'x' * 300}"
    assert split([word]) == (None, [word])


def test_two_names_are_one_too_many() -> None:
    with pytest.raises(ConfigError, match="found two results, a and b"):
        split(["a", "b"])
