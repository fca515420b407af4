"""What is recorded, and what is kept out of the record."""

from __future__ import annotations

from datetime import UTC, datetime

from evalkit.provenance import capture, without_credentials


def test_versions_machine_and_time_are_recorded() -> None:
    record = capture({"reranker": {"backend": "x"}}, {"a": 1})
    assert record.versions["ranx"].startswith("0.3")
    assert record.machine["cores"]
    assert abs((datetime.now(UTC) - datetime.fromisoformat(record.created)).total_seconds()) < 60
    assert (record.fingerprints, record.config) == ({"reranker": {"backend": "x"}}, {"a": 1})


def test_credentials_in_urls_are_cut_out() -> None:
    config = {"sinks": [{"uri": "postgresql://me:hunter2@db.example/x"}], "plain": "a@b", "n": 3}
    assert without_credentials(config) == {"sinks": [{"uri": "postgresql://db.example/x"}], "plain": "a@b", "n": 3}


def test_values_of_secret_keys_are_masked_but_names_of_variables_are_not() -> None:
    config = {"api_key": "s3", "apiKey": "s3", "token": "s3", "api_key_env": "QDRANT_API_KEY", "token_budget": 2048}
    assert without_credentials(config) == {
        "api_key": "***",
        "apiKey": "***",
        "token": "***",
        "api_key_env": "QDRANT_API_KEY",
        "token_budget": 2048,
    }
