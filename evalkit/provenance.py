"""Which software and which machine produced a result, and with which configuration."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from evalkit.record import Provenance
from evalkit.types import Fingerprint

PACKAGES = (
    "evalkit-rerank", "FlagEmbedding", "transformers", "torch", "onnxruntime", "tokenizers",
    "qdrant-client", "qdrant-edge-py", "ranx", "numpy", "pandas", "hydra-core", "mlflow",
)  # fmt: skip

_CREDENTIALS = re.compile(r"(?<=://)[^/\s]+@")
_URL_QUERY = re.compile(r"(?<=\?)\S+")
_SECRET_INSIDE = re.compile(r"(?i)(key|token|authorization|credentials?|secret|passw\w*)[\"']?\s*:")
_SECRET_KEY = re.compile(
    r"(?i)((_|api|access|secret)keys?|token|authorization|credentials?|bearer|(^|[._])pat)$|secret|passw"
)
_SECRET_VALUE = re.compile(r"(?i)(?<=\bbearer )\S+|\b(ghp_|github_pat_|glpat-|hf_|sk-|xox[a-z]-)[\w-]{6,}")


def capture(
    fingerprints: Mapping[str, Fingerprint], config: Mapping[str, Any], command: Sequence[str] = ()
) -> Provenance:
    """Record time, versions, machine, fingerprints and configuration; no model is loaded for it."""
    return Provenance(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=versions(),
        machine=_machine(),
        fingerprints=dict(fingerprints),
        config=without_credentials(config),
        command=tuple(map(without_secret, command)),
    )


def versions() -> dict[str, str]:
    """Package -> version, for those that are installed here."""
    return {package: version for package in PACKAGES if (version := _version(package))}


def without_credentials(value: Any) -> Any:
    """The same structure without secrets: those in URLs, and texts under keys like ``api_key``."""
    if isinstance(value, str):
        without = _SECRET_VALUE.sub("***", _CREDENTIALS.sub("", value))
        return _URL_QUERY.sub("***", without) if "://" in without else without
    if isinstance(value, Mapping):
        return {key: _masked(str(key), entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_credentials(entry) for entry in value]
    return value


def _masked(key: str, value: Any) -> Any:
    """The value, unless the key says that it is secret: then nothing of it, whatever its type."""
    if _is_secret(key) and value is not None and not isinstance(value, bool | Mapping):
        return "***"
    return without_credentials(value)


def without_secret(word: str) -> str:
    """An override without the value of a secret key, and without those that stand inside a value."""
    key, sign, value = word.partition("=")
    if sign and (_is_secret(key) or _SECRET_INSIDE.search(value)) and value != "null":
        return f"{key}=***"
    return str(without_credentials(word))


def _is_secret(key: str) -> bool:
    """Whether a key holds a secret itself; ``..._env`` holds the name of a variable."""
    return bool(_SECRET_KEY.search(key)) and not key.endswith("_env")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _machine() -> dict[str, str | int]:
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "platform": platform.platform(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
