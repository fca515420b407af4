"""Cores, memory, folders and GPUs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shutil import disk_usage
from typing import Any, NamedTuple

from evalkit.readiness.outcome import Check, size

_MEMINFO = Path("/proc/meminfo")


class Card(NamedTuple):
    """A GPU: its name, its memory in bytes, and whether it computes in bfloat16."""

    name: str
    n_bytes: int
    bfloat16: bool


def machine(n_weights: int, available: int | None = None) -> Iterator[Check]:
    """Cores, and whether the weights fit into memory.

    Args:
        n_weights: Bytes of the weights that are here.
        available: Bytes of free memory; None asks the system.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Check("cores", "ok", f"{cores} usable")
    free = _available() if available is None else available
    if free is None:
        yield Check("memory", "ok", "this system does not say how much is free")
    elif free < n_weights:
        found = f"{size(free)} are free, and the weights alone take {size(n_weights)}"
        yield Check("memory", "warning", found, "stop other programs, or choose a smaller model")
    else:
        yield Check("memory", "ok", f"{size(free)} are free")


def folder(name: str, path: Path, n_needed: int) -> Check:
    """Whether a folder can be written, or made, and has room.

    Args:
        name: The setting that names it.
        path: The folder; it need not be there yet.
        n_needed: Bytes that the run will write, roughly.
    """
    try:
        place = existing(path)
        with tempfile.TemporaryFile(dir=place):
            free = disk_usage(place).free
    except OSError as error:
        return Check(name, "fault", f"{path} cannot be written ({error.strerror})", f"set {name} to another folder")
    if free < n_needed:
        found = f"{path}: {size(free)} are free, and about {size(n_needed)} are needed"
        return Check(name, "fault", found, f"make room, or set {name} to another folder")
    return Check(name, "ok", f"{path}: can be written, {size(free)} free, about {size(n_needed)} needed")


def existing(path: Path) -> Path:
    """The path itself, or the nearest one above it that exists."""
    place = path.absolute()
    return next(one for one in (place, *place.parents) if one.exists())


def gpu(models: Sequence[Mapping[str, Any]], cards: Sequence[Card] | None = None) -> Iterator[Check]:
    """The GPUs, and whether the devices and formats that are asked for are there; nothing where no model may use one.

    Args:
        models: The settings of each model.
        cards: What there is; None asks torch.
    """
    asked = [settings for settings in models if "device" in settings]
    if not asked:
        return
    present = _cards() if cards is None else cards
    found = ", ".join(f"{card.name} with {size(card.n_bytes)}" for card in present) or "none that torch sees"
    for node in asked:
        for device in _devices(node["device"], present):
            number = int(device.partition(":")[2] or 0)
            if number >= len(present):
                advice = "name one that is there, or device=cpu with dtype=float32"
                yield Check("gpu", "fault", f"{found}; {device} is asked for", advice)
                return
            if node.get("dtype") == "bfloat16" and not present[number].bfloat16:
                yield Check("gpu", "warning", f"{found}; it has no bfloat16 of its own", "set dtype=float16")
                return
    yield Check("gpu", "ok", found)


def _devices(asked: Any, present: Sequence[Card]) -> list[str]:
    """The GPUs that a setting names; null takes the first one, where there is one."""
    if asked is None:
        return ["cuda:0"] if present else []
    return [str(one) for one in (asked if isinstance(asked, list) else [asked]) if str(one).startswith("cuda")]


def _cards() -> list[Card]:
    import torch

    if not torch.cuda.is_available():
        return []
    return [
        Card(found.name, found.total_memory, found.major >= 8)
        for found in map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    ]


def _available() -> int | None:
    """Bytes of memory that programs can have without swapping; None where the system does not say."""
    try:
        lines = _MEMINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
