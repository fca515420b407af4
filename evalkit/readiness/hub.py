"""What the Hugging Face hub's local cache holds, and whether the hub would give the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from shutil import disk_usage
from types import SimpleNamespace
from typing import Any, Literal

from evalkit.models.weights import HubWeights
from evalkit.readiness.machine import existing
from evalkit.readiness.outcome import Check, size
from evalkit.readiness.patience import BACKSTOP_S, within_patience


def cached(weights: HubWeights, patterns: Sequence[str]) -> Path | None:
    """The folder of a model in the local cache; None where it is not there, or was not fetched to its end.

    Args:
        weights: Repository, revision, and what is not needed of it.
        patterns: Files of which one at least must be there.
    """
    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(
            weights.repo, revision=weights.revision, ignore_patterns=list(weights.ignore), local_files_only=True
        )
    # Its own errors, OSError and ValueError: all of them say that it is not there.
    except Exception:
        return None
    return Path(found) if holds(Path(found), patterns) else None


def holds(folder: Path, patterns: Sequence[str]) -> bool:
    """Whether one file at least, at any depth, is of such a name; a link to nothing is no file."""
    return any(path.is_file() for pattern in patterns for path in folder.rglob(pattern))


def fetchable(
    name: str, repo: str, revision: str, kind: Literal["model", "dataset"], ignored: Sequence[str] = ()
) -> Check:
    """Whether the hub would give what the cache lacks; it is told the repository's name, and nothing is fetched.

    Args:
        name: Of the check.
        repo: Owner and name.
        revision: Commit, tag or branch.
        kind: Of the repository.
        ignored: Patterns of files that are not needed.
    """
    from huggingface_hub import HfApi, constants

    place = f"{repo} at {revision} is not in {constants.HF_HUB_CACHE}"
    option = " --repo-type dataset" if kind == "dataset" else ""
    bring = (
        f"on a machine that reaches the hub, run 'HF_HOME=FOLDER hf download {repo}{option} --revision {revision}', "
        "bring FOLDER here and set HF_HOME=FOLDER"
    )
    if constants.is_offline_mode():
        return Check(name, "fault", f"{place}, and HF_HUB_OFFLINE forbids to fetch it", f"unset it, or {bring}")
    ask = HfApi().model_info if kind == "model" else HfApi().dataset_info
    try:
        answer = within_patience(lambda: ask(repo, revision=revision, files_metadata=True, timeout=BACKSTOP_S))
    except TimeoutError as error:
        return Check(name, "fault", f"{place}, and the hub {error}", bring)
    # Its own errors and those of an HTTP library that changes with its version.
    except Exception as error:
        return Check(name, "fault", f"{place}, and the hub does not give it ({type(error).__name__})", bring)
    files = answer.siblings or []
    needed = sum(file.size or 0 for file in files if not any(fnmatch(file.rfilename, pattern) for pattern in ignored))
    free = disk_usage(existing(Path(constants.HF_HUB_CACHE))).free
    if free < needed:
        found = f"{place}; the hub has it, {size(needed)}, and {size(free)} are free there"
        return Check(name, "fault", found, "make room, or set HF_HOME to another folder")
    return Check(name, "warning", f"{place}; the hub has it", f"{size(needed)} will be fetched when the run starts")


@contextmanager
def offline() -> Iterator[None]:
    """Hugging Face's library without a network, and as it was afterwards: what would fetch fails instead."""
    constants = _constants()
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _constants() -> Any:
    try:
        from huggingface_hub import constants
    # Whatever keeps it from being imported: then it fetches nothing either.
    except Exception:
        return SimpleNamespace(HF_HUB_OFFLINE=True)
    return constants
