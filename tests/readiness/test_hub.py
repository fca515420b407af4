"""The hub's cache, and a hub that has, lacks or does not give what the cache has not.

In a process of its own: Hugging Face's library reads its environment when it is imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.readiness.conftest import PATIENCE_S

COMMIT = "c" * 40
FILES = {"model.safetensors": 2_000_000_000, "onnx/model.onnx": 2_000_000_000, "config.json": 600}

LOOK = f"""
import json, sys
from dataclasses import asdict
from evalkit.models.weights import HubWeights
from evalkit.readiness.weights import model

class Part:
    def __init__(self):
        self.weights = HubWeights("some/model", "{COMMIT}", ["onnx/*"])

    @property
    def fingerprint(self):
        return {{"backend": self.weights.identity()}}

print(json.dumps([asdict(check) for check in model("embedder", Part())]))
"""


class _Hub(BaseHTTPRequestHandler):
    """The call of the hub's API that names a revision's files: GET /api/models/<repo>/revision/<revision>."""

    asked: list[str]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        # The library also asks for settings of its own.
        self.asked += [path] if path.startswith("/api/models/") else []
        known = path in (f"/api/models/{repo}/revision/{COMMIT}" for repo in ("some/model", "huge/model"))
        scale = 10**9 if "huge" in path else 1
        siblings = [{"rfilename": name, "size": size * scale} for name, size in FILES.items()]
        body = json.dumps({"id": "some/model", "sha": COMMIT, "siblings": siblings} if known else {"error": "none"})
        self.send_response(200 if known else 404)
        if not known:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[tuple[str, list[str]]]:
    """Its address, and the paths that it was asked for."""
    asked: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Hub", (_Hub,), {"asked": asked})) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()


def look(home: Path, endpoint: str, code: str = LOOK, **variables: str) -> list[dict[str, Any]]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    environment = {**inherited, "HF_HOME": str(home), "HF_ENDPOINT": endpoint, **variables}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def snapshot(home: Path, *names: str) -> None:
    folder = home / "hub" / "models--some--model" / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()


def test_what_the_cache_holds_needs_no_hub(tmp_path: Path) -> None:
    snapshot(tmp_path, "config.json", "model.safetensors")
    weights, whole = look(tmp_path, "http://127.0.0.1:9")
    assert (weights["status"], weights["found"]) == ("ok", f"some/model at {COMMIT} is in the local cache")
    assert (whole["status"], whole["found"]) == ("ok", f"backend some/model@{COMMIT}")


def test_a_tokenizer_alone_is_no_model(tmp_path: Path) -> None:
    snapshot(tmp_path, "config.json", "tokenizer.json")
    weights, _ = look(tmp_path, "http://127.0.0.1:9")
    assert weights["status"] == "fault"


def test_a_hub_that_has_it_is_a_warning_with_what_will_be_fetched(tmp_path: Path, hub: tuple[str, list[str]]) -> None:
    """The pattern leaves one of two large files out; nothing but the list of files is asked for."""
    address, asked = hub
    weights, _ = look(tmp_path, address)
    assert weights["status"] == "warning"
    assert weights["advice"] == "2 GB will be fetched when the run starts"
    assert asked == [f"/api/models/some/model/revision/{COMMIT}"]
    assert not list(tmp_path.rglob("*.safetensors"))


def test_more_than_the_disk_holds_is_a_fault(tmp_path: Path, hub: tuple[str, list[str]]) -> None:
    weights, _ = look(tmp_path, hub[0], LOOK.replace("some/model", "huge/model"))
    assert weights["status"] == "fault"
    assert "the hub has it, 2e+06 TB, and " in weights["found"]


def test_a_hub_that_lacks_it_is_a_fault(tmp_path: Path, hub: tuple[str, list[str]]) -> None:
    code = LOOK.replace("some/model", "another/model")
    weights, _ = look(tmp_path, hub[0], code)
    assert weights["status"] == "fault"
    assert "another/model" in weights["found"]
    assert "RepositoryNotFoundError" in weights["found"]


def test_a_hub_out_of_reach_is_a_fault_that_says_what_to_bring(tmp_path: Path) -> None:
    weights, _ = look(tmp_path, "http://127.0.0.1:9")
    assert weights["status"] == "fault"
    assert weights["advice"] == (
        f"on a machine that reaches the hub, run 'HF_HOME=FOLDER hf download some/model --revision {COMMIT}', bring "
        "FOLDER here and set HF_HOME=FOLDER"
    )


def test_a_hub_that_drips_is_a_fault_in_time(tmp_path: Path, dripping: int) -> None:
    hurried = f"from evalkit.readiness import patience; patience.PATIENCE_S = {PATIENCE_S}\n{LOOK}"
    weights, _ = look(tmp_path, f"http://127.0.0.1:{dripping}", hurried)
    assert weights["status"] == "fault"
    assert weights["found"].endswith(f", and the hub gave no answer within {PATIENCE_S} s")
    assert "hf download some/model" in weights["advice"]


def test_a_library_that_cannot_be_imported_is_a_fault_that_says_so(tmp_path: Path) -> None:
    """Installed, and without one of its own parts; what needs no hub is looked at all the same."""
    package = tmp_path / "broken" / "huggingface_hub"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('libhub.so: cannot open shared object file')")
    broken = f"import sys; sys.path.insert(0, {str(package.parent)!r})\n{LOOK}"
    whole = broken.replace("model(", "looked('embedder weights', lambda: model(").replace("Part())", "Part()))")
    (check,) = look(tmp_path, "http://127.0.0.1:9", f"from evalkit.readiness.outcome import looked\n{whole}")
    found = "could not be looked at (ImportError: libhub.so: cannot open shared object file)"
    assert (check["name"], check["status"], check["found"]) == ("embedder weights", "fault", found)


def test_offline_mode_is_a_fault_that_says_so(tmp_path: Path, hub: tuple[str, list[str]]) -> None:
    weights, _ = look(tmp_path, hub[0], HF_HUB_OFFLINE="1")
    assert weights["status"] == "fault"
    assert weights["found"].endswith("and HF_HUB_OFFLINE forbids to fetch it")
    assert hub[1] == []


def test_a_branch_is_not_fetched_to_name_its_commit(tmp_path: Path, hub: tuple[str, list[str]]) -> None:
    """Its fingerprint would fetch it, and is left out without a second complaint."""
    (weights,) = look(tmp_path, hub[0], LOOK.replace(COMMIT, "main"))
    assert weights["status"] == "fault"
    assert hub[1] == ["/api/models/some/model/revision/main"]
