"""Where a service may listen, and its keys."""

from __future__ import annotations

from typing import Any

import pytest

from evalkit.errors import ConfigError
from evalkit.serving.settings import keys_of
from tests.serving.running import settings

VARIABLE = "EVALKIT_SERVE_API_KEY"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"port": 65536}, "serve.port is 65536; expected 0 to 65535"),
        ({"port": "8000"}, "serve.port is '8000'; expected a whole number of at least 0"),
        ({"host": 7}, "serve.host is of type int; expected text"),
        ({"max_documents": 0}, "serve.max_documents is 0; expected a whole number of at least 1"),
        ({"timeout_s": 0}, "serve.timeout_s is 0; expected a whole number of at least 1"),
        (
            {"max_wait_ms": 2001, "timeout_s": 2},
            "serve.max_wait_ms is 2001; expected serve.timeout_s, 2000 ms, at most",
        ),
        ({"micro_batching": "no"}, "serve.micro_batching is 'no'; expected true or false"),
        ({"model_names": "rerank-v3.5"}, "serve.model_names is 'rerank-v3.5'; expected a list of names"),
        ({"max_queue_pairs": 10}, "serve.max_queue_pairs is 10, less than a request of serve.max_documents, 1000"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(**changes)
    assert message in str(caught.value)


def test_several_keys_are_separated_by_commas() -> None:
    assert keys_of({VARIABLE: "new , old,"}, settings()) == ("new", "old")
    assert keys_of({}, settings()) == ()


@pytest.mark.parametrize(("value", "message"), [(" , ", "holds no key"), ("a b", "a sign that no header can carry")])
def test_keys_that_are_none_are_refused_without_showing_them(value: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        keys_of({VARIABLE: value}, settings())
    assert message in str(caught.value)
    assert value not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_needs_no_key(host: str) -> None:
    assert keys_of({}, settings(host=host)) == ()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "rerank.internal"])  # noqa: S104 - refused
def test_the_network_needs_a_key_or_a_word(host: str) -> None:
    with pytest.raises(ConfigError, match=r"set EVALKIT_SERVE_API_KEY, or serve\.allow_open=true"):
        keys_of({}, settings(host=host))
    assert keys_of({VARIABLE: "k"}, settings(host=host)) == ("k",)
    assert keys_of({}, settings(host=host, allow_open=True)) == ()
