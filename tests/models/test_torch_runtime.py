"""Where models run on torch: a copy on each device, batches to whichever is free, halves of what does not fit."""

from __future__ import annotations

from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest

from evalkit.errors import ConfigError, ModelError
from evalkit.models.flag_decoders import YesDecoder
from tests.models.conftest import (
    MIXED_PAIRS,
    flag_embedder,
    flag_llm,
    flag_m3,
    flag_reranker,
    flag_sparse,
)
from tests.models.sentence_models import save_embedder, st_embedder, st_reranker

TEXTS = [text for pair in MIXED_PAIRS for text in pair]
TWO: dict[str, Any] = {"device": ["cpu", "cpu"], "token_budget": 256}
ONE: dict[str, Any] = {"device": "cpu", "token_budget": 256}
NOWHERE = Path("/no/such/folder")
RERANKERS = [flag_reranker, st_reranker]


def transformers_model(copy: Any) -> Any:
    """What both libraries call with a batch as keyword arguments."""
    return getattr(copy, "transformers_model", None) or copy.model


def test_scores_are_the_same_on_two_devices(tiny_reranker: Path, tiny_gemma: Path, tiny_m3: Path) -> None:
    pairs = MIXED_PAIRS * 3
    for make in (
        lambda options: flag_reranker(tiny_reranker, **options),
        lambda options: st_reranker(tiny_reranker, **options),
        lambda options: flag_llm(tiny_gemma, YesDecoder(), **options),
        lambda options: flag_m3(tiny_m3, mode="weighted", **options),
    ):
        assert np.abs(make(TWO).score(pairs) - make(ONE).score(pairs)).max() < 1e-6


def test_vectors_are_the_same_on_two_devices(tiny_embedder: Path, tiny_m3: Path, tmp_path: Path) -> None:
    pooled = save_embedder(tmp_path, tiny_embedder, "mean")
    for make, folder in ((flag_embedder, tiny_embedder), (st_embedder, pooled)):
        one, two = (make(folder, **options).embed_documents(TEXTS) for options in (ONE, TWO))
        assert np.abs(one - two).max() < 1e-6
    one_sparse, two_sparse = (flag_sparse(tiny_m3, **options).encode_documents(TEXTS) for options in (ONE, TWO))
    for single, double in zip(one_sparse, two_sparse, strict=True):
        assert single.indices.tolist() == double.indices.tolist()
        assert np.abs(single.values - double.values).max(initial=0) < 1e-6


@pytest.mark.parametrize("make", RERANKERS)
def test_both_devices_work_at_once(make: Any, tiny_reranker: Path) -> None:
    """Each copy's first batch waits for the other's."""
    reranker = make(tiny_reranker, **TWO)
    together = Barrier(2, timeout=30)
    for copy in reranker._library.copies:
        waiting(transformers_model(copy), together)
    assert np.isfinite(reranker.score(MIXED_PAIRS)).all()
    assert not together.broken


def waiting(model: Any, together: Barrier) -> None:
    forward, calls = model.forward, []

    def wait_once(**inputs: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            together.wait()
        return forward(**inputs)

    model.forward = wait_once


@pytest.mark.parametrize("make", RERANKERS)
def test_a_full_gpu_halves_the_batch_and_goes_on(make: Any, tiny_reranker: Path) -> None:
    import torch

    expected = make(tiny_reranker).score(MIXED_PAIRS)
    crowded = make(tiny_reranker)
    model = transformers_model(crowded._library.copies[0])
    forward, sizes = model.forward, []

    def narrow(**inputs: Any) -> Any:
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError("full")
        return forward(**inputs)

    model.forward = narrow
    assert np.abs(crowded.score(MIXED_PAIRS) - expected).max() < 1e-5
    assert max(sizes) > 2


@pytest.mark.parametrize("make", RERANKERS)
@pytest.mark.parametrize("device", ["cpu", ["cpu", "cpu"]])
def test_one_item_that_does_not_fit_and_any_other_error_are_not_hidden(
    make: Any, device: Any, tiny_reranker: Path
) -> None:
    import torch

    reranker = make(tiny_reranker, device=device)
    for raised, seen in ((torch.OutOfMemoryError("full"), ModelError), (RuntimeError("bug"), RuntimeError)):

        def fail(error: Exception = raised, **_: Any) -> Any:
            raise error

        for copy in reranker._library.copies:
            transformers_model(copy).forward = fail
        with pytest.raises(seen, match=r"does not fit|bug"):
            reranker.score(MIXED_PAIRS)


@pytest.mark.parametrize("make", RERANKERS)
def test_a_score_that_is_not_finite_is_refused(make: Any, tiny_reranker: Path) -> None:
    reranker = make(tiny_reranker)
    transformers_model(reranker._library.copies[0]).classifier.out_proj.bias.data.fill_(float("nan"))
    with pytest.raises(ModelError, match="not finite with dtype float32"):
        reranker.score(MIXED_PAIRS[:1])


@pytest.mark.parametrize("make", RERANKERS)
def test_a_fingerprint_names_kinds_of_devices_and_no_numbers_of_them(
    make: Any, tiny_reranker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    names = {"cuda:0": "NVIDIA L4", "cuda:1": "NVIDIA L4", "cuda:2": "NVIDIA A100"}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: names[device])

    def fingerprint(device: Any) -> Any:
        return make(tiny_reranker, device=device).fingerprint

    assert fingerprint(["cpu", "cpu"]) == fingerprint("cpu")
    assert fingerprint(["cuda:0", "cuda:1"]) == fingerprint("cuda:1") == fingerprint(None)
    assert fingerprint(["cuda:0", "cuda:2", "cuda:1"])["device"] == "NVIDIA A100 + NVIDIA L4"


def test_every_device_is_named_with_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA L4")
    reranker = flag_reranker(NOWHERE, device=["cuda:0", "cuda:1"], dtype="float16")
    assert reranker.device == "cuda:0 (NVIDIA L4), cuda:1 (NVIDIA L4)"
    assert st_reranker(NOWHERE, device=["cpu", "cpu"]).device == "cpu, cpu"


@pytest.mark.parametrize("make", RERANKERS)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": []}, r"reranker.device is \[\]; expected at least one device"),
        ({"device": ["cuda:0", 1]}, "reranker.device is of type int; expected text"),
        ({"device": ["cuda:0", None]}, "reranker.device is null; expected text"),
        ({"device": ["cuda:0", "cpu"], "dtype": "float16"}, "dtype float16 needs a GPU"),
    ],
)
def test_impossible_lists_are_refused_at_once(make: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(NOWHERE, **changes)


@pytest.mark.parametrize("make", RERANKERS)
@pytest.mark.parametrize("device", ["cuda:1", "gpu", "meta", "cuda:x", "", "cpu:0", "CPU"])
def test_a_device_without_any_gpu_is_refused_with_what_to_do(
    make: Any, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError) as refusal:
        _ = make(NOWHERE, device=["cpu", device]).device
    expected = "expected cpu with dtype=float32: torch sees no GPU"
    assert str(refusal.value) == f"reranker.device is {device!r}; {expected}"


@pytest.mark.parametrize("device", ["cuda:2", "gpu", "meta", "cuda:-1", "cuda:01"])
def test_a_gpu_that_is_not_there_is_refused_beside_those_that_are(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA L4")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert flag_reranker(NOWHERE, device="cuda").device == "cuda (NVIDIA L4)"
    with pytest.raises(ConfigError) as refusal:
        _ = flag_reranker(NOWHERE, device=device).device
    assert str(refusal.value) == f"reranker.device is {device!r}; expected cuda:0, cuda:1, cpu"
