"""The YAMLs of models behind a server: who may be sent texts, and where keys come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.composition import compose_config
from evalkit.config import build_plan
from evalkit.errors import ConfigError
from evalkit.provenance import without_credentials

CONF = Path(__file__).parents[2] / "conf"
OPTIONS = [
    (role, file.stem)
    for role in ("embedder", "reranker")
    for file in sorted((CONF / role).glob("*.yaml"))
    if "models.remote" in file.read_text()
]
KEYS = {
    "cohere": "COHERE_API_KEY",
    "jina": "JINA_API_KEY",
    "voyage": "VOYAGE_API_KEY",
    "mixedbread": "MXBAI_API_KEY",
}


def chosen(role: str, option: str, *overrides: str) -> list[str]:
    """Overrides that choose it, with what has no default."""
    named = [f"{role}.model=m", f"{role}.revision=r"]
    read = ["reranker.tokenizer.path=/no/such/folder"] if option == "http_tokenizer" else []
    return [f"{role}={option}", *named, *read, *overrides]


def test_there_is_a_yaml_for_each_service() -> None:
    assert [
        *(("embedder", name) for name in ("cohere", "http", "tei", "voyage")),
        *(("reranker", name) for name in ("cohere", "http", "http_tokenizer", "jina", "mixedbread", "tei", "voyage")),
    ] == OPTIONS


@pytest.mark.parametrize(("role", "option"), OPTIONS)
def test_no_yaml_lets_texts_leave_by_itself(role: str, option: str) -> None:
    config = compose_config(chosen(role, option))[role]
    assert (config.allow_remote, config.offline) == (False, False)
    assert config.key_variable == KEYS.get(option, f"EVALKIT_{role.upper()}_API_KEY")


@pytest.mark.parametrize(("role", "option"), OPTIONS)
def test_offline_forbids_every_service_elsewhere_whatever_its_permission(role: str, option: str) -> None:
    elsewhere = [] if option in KEYS else [f"{role}.url=https://models.example/v1"]
    allowed = chosen(role, option, f"{role}.allow_remote=true", *elsewhere)
    assert build_plan(compose_config(allowed)).design.top_ks
    with pytest.raises(ConfigError, match=rf"offline is true, but {role}\.url names .*, and only localhost and"):
        build_plan(compose_config([*allowed, "offline=true"]))


@pytest.mark.parametrize(("role", "option"), [("embedder", "http"), ("reranker", "http"), ("reranker", "tei")])
def test_offline_a_service_on_this_machine_stays(role: str, option: str) -> None:
    assert build_plan(compose_config(chosen(role, option, "offline=true"))).design.top_ks


def test_offline_is_true_or_false() -> None:
    with pytest.raises(ConfigError, match="offline is 'perhaps'; expected true or false"):
        build_plan(compose_config(chosen("reranker", "http", "offline=perhaps")))


def test_a_price_is_given_on_the_command_line() -> None:
    price = "reranker.price={amount:2.0,currency:USD,per:1000_requests}"
    plan = build_plan(compose_config(chosen("reranker", "http", price)))
    assert plan.config["reranker"]["price"] == {"amount": 2.0, "currency": "USD", "per": "1000_requests"}


@pytest.mark.parametrize("option", KEYS)
def test_the_name_of_a_keys_variable_is_no_secret(option: str) -> None:
    plan = build_plan(compose_config(chosen("reranker", option)))
    assert without_credentials(plan.config)["reranker"]["key_variable"] == KEYS[option]


def test_a_field_is_added_as_the_message_says() -> None:
    plan = build_plan(compose_config(chosen("reranker", "http", "+reranker.fields.truncate=true")))
    assert plan.config["reranker"]["fields"] == {"raw_scores": True, "truncate": True}
