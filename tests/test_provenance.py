"""What is recorded, and what is kept out of the record."""

from __future__ import annotations

from datetime import UTC, datetime

from evalkit.provenance import capture, without_credentials, without_secret


def test_versions_machine_and_time_are_recorded() -> None:
    record = capture({"reranker": {"backend": "x"}}, {"a": 1})
    assert record.versions["ranx"].startswith("0.3")
    assert record.machine["cores"]
    assert abs((datetime.now(UTC) - datetime.fromisoformat(record.created)).total_seconds()) < 60
    assert (record.fingerprints, record.config) == ({"reranker": {"backend": "x"}}, {"a": 1})


def test_credentials_in_urls_are_cut_out() -> None:
    config = {"sinks": [{"uri": "postgresql://me:hunter2@db.example/x"}], "plain": "a@b", "n": 3}
    assert without_credentials(config) == {"sinks": [{"uri": "postgresql://db.example/x"}], "plain": "a@b", "n": 3}


def test_passwords_with_odd_signs_and_tokens_in_queries_are_cut_out() -> None:
    assert without_credentials("http://user:p@ss@host:9/x") == "http://host:9/x"
    assert without_credentials("http://host/?token=s3&x=1") == "http://host/?***"
    assert without_credentials("what is this?") == "what is this?"


def test_values_of_secret_keys_are_masked_but_names_of_variables_are_not() -> None:
    secrets = dict.fromkeys(["api_key", "apiKey", "token", "access_key", "db_password"], "s3")
    plain = {"api_key_env": "QDRANT_API_KEY", "token_budget": 2048}
    assert without_credentials({**secrets, **plain}) == {**dict.fromkeys(secrets, "***"), **plain}


def test_secrets_are_masked_whatever_their_type() -> None:
    config = {"token": 12345678, "api_keys": ["a", "b"], "my_pat": "x", "h": "Bearer abc.def", "u": "ghp_0123456789"}
    assert without_credentials(config) == {
        "token": "***", "api_keys": "***", "my_pat": "***", "h": "Bearer ***", "u": "***",
    }  # fmt: skip
    assert without_credentials({"token": None, "token_budget": 5, "max_tokens": 9}) == {
        "token": None, "token_budget": 5, "max_tokens": 9,
    }  # fmt: skip


def test_the_command_is_recorded_without_secrets() -> None:
    words = ("run", "+x.api_key=sk1", "+y={api_key:[s]}", "url=https://bob:pw@host/x", "sweep.top_k=[1,2]", "z=null")
    assert capture({}, {}, words).command == (
        "run", "+x.api_key=***", "+y=***", "url=https://host/x", "sweep.top_k=[1,2]", "z=null",
    )  # fmt: skip
    assert without_secret("+token=null") == "+token=null"
