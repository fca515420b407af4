"""The container files name nothing that is not there; no container engine is needed, and none was."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import yaml

from evalkit.composition import compose_config
from evalkit.config import build_reranker, build_serve_settings
from evalkit.serving.settings import KEYS_VARIABLE
from evalkit.testing import FunctionReranker
from tests.serving.running import Held, answers, running, until

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".deploy"
CONTAINERFILE = (FOLDER / "Containerfile").read_text()

COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
GPU: dict[str, Any] = yaml.safe_load((FOLDER / "compose.gpu.yaml").read_text())
PYPROJECT = (ROOT / "pyproject.toml").read_text()


def instruction(name: str) -> str:
    """What stands behind the instruction of this name."""
    (found,) = re.findall(rf"^{name} (.*)$", CONTAINERFILE, flags=re.M)
    return str(found)


COMMANDS: dict[str, list[str]] = {
    "Containerfile": yaml.safe_load(instruction("CMD")),
    "compose": COMPOSE["services"]["rerank"]["command"],
    "gpu": GPU["services"]["rerank"]["command"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_command_composes_builds_and_listens_where_the_port_is_mapped(command: list[str]) -> None:
    name, *overrides = command
    assert name == "serve"
    config = compose_config(overrides)
    settings = build_serve_settings(config)
    assert (settings.host, settings.port) == ("0.0.0.0", int(instruction("EXPOSE")))  # noqa: S104 - in a container
    assert build_reranker(config)


def test_everything_that_is_copied_exists_and_is_not_ignored() -> None:
    lines = re.findall(r"^COPY (?!--from)(.*)$", CONTAINERFILE, flags=re.M)
    copied = [source for line in lines for source in line.split()[:-1]]
    assert len(copied) >= 6
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for source in copied:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored, source


def test_extras_and_versions_are_those_of_the_project() -> None:
    extras = re.findall(r"EXTRAS[:=][-\w]*?([a-z]+(?:,[a-z]+)*)\b", CONTAINERFILE + (FOLDER / "README.md").read_text())
    assert extras
    for extra in {name for found in extras for name in found.split(",")}:
        assert re.search(rf"^{extra} = \[", PYPROJECT, flags=re.M), extra
    version = re.search(r'^version = "(.*)"$', PYPROJECT, flags=re.M)
    assert version
    assert COMPOSE["services"]["rerank"]["image"] == f"evalkit-rerank:{version[1]}"
    client = re.search(r"^qdrant-client==(.*)$", (ROOT / ".ci/constraints.txt").read_text(), flags=re.M)
    assert client
    assert COMPOSE["services"]["qdrant"]["image"] == f"qdrant/qdrant:v{client[1]}"


def test_variables_are_those_that_the_project_reads() -> None:
    read = "\n".join(file.read_text() for folder in ("evalkit", "conf") for file in (ROOT / folder).rglob("*.[py]*"))
    for name in (
        KEYS_VARIABLE,
        "EVALKIT_CACHE_DIR",
        "QDRANT_API_KEY",
        "MLFLOW_TRACKING_URI",
        "EVALKIT_RERANKER_API_KEY",
    ):
        assert name in read, name
        assert name in "".join(file.read_text() for file in FOLDER.iterdir()), name


def test_only_this_machine_is_served_and_nothing_runs_with_rights() -> None:
    for name, service in COMPOSE["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
    assert [COMPOSE["services"][name]["read_only"] for name in ("rerank", "mlflow")] == [True, True]
    assert instruction("USER") == "10001:10001"


def test_no_secret_has_a_value() -> None:
    for service in COMPOSE["services"].values():
        for name, value in service["environment"].items():
            if "KEY" in name:
                assert re.fullmatch(r"\$\{\w+:\?.*\}", value), name


def test_the_engine_waits_longer_than_the_service_takes() -> None:
    """Measured with a model that is in the middle of a pass, and stays there."""
    held = Held()
    with running(held, grace_s=1) as service, ThreadPoolExecutor(1) as pool:
        held.free.clear()
        sent = pool.submit(service.rerank, "a", ["a"])
        assert held.started.wait(10)
        started = monotonic()
        service.service.stop()
        until(lambda: not answers(service.http), 20)
        beyond_s = monotonic() - started - 1
        assert sent.result().status_code == 503
    grace_s = build_serve_settings(compose_config([])).grace_s
    assert int(COMPOSE["services"]["rerank"]["stop_grace_period"].removesuffix("s")) >= grace_s + beyond_s + 5


def test_the_health_check_tells_a_service_from_none() -> None:
    (program, *arguments) = yaml.safe_load(re.findall(r'CMD (\["python".*)$', CONTAINERFILE, flags=re.M)[0])
    assert program == "python"

    def check(address: str) -> int:
        words = [word.replace("http://127.0.0.1:8000", address) for word in arguments]
        return subprocess.run([sys.executable, *words], check=False, stderr=subprocess.DEVNULL).returncode

    with running(FunctionReranker()) as service:
        assert check(service.url) == 0
    assert check(service.url) == 1


def test_mlflow_knows_its_flags() -> None:
    mlflow = COMPOSE["services"]["mlflow"]
    assert mlflow["entrypoint"] == ["mlflow"]
    command, *flags = mlflow["command"]
    asked = [sys.executable, "-m", "mlflow", command, "--help"]
    known = set(re.findall(r"--[a-z-]+", subprocess.run(asked, check=True, capture_output=True, text=True).stdout))
    assert len(flags) == 6
    assert {flag.partition("=")[0] for flag in flags} <= known


def test_the_evaluation_that_is_shown_composes() -> None:
    (shown,) = re.findall(r"^evalkit run (.*)$", (FOLDER / "README.md").read_text(), flags=re.M)
    config = compose_config(shlex.split(shown))
    assert config.reranker.url.endswith(":8000/v1")
    assert build_reranker(config)
