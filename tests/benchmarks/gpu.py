"""The ``flag`` back end at the production pair's real shape, with random weights: ``make bench BENCH=gpu``.

bge-m3 and bge-reranker-v2-m3 are XLM-R large with 8192 positions. Printed per number format, on one GPU: how far scores
move from float32 and in how many of 20 questions the 50 documents keep their order; pairs and texts per second at 128,
256 and 512 tokens, as median and range of repetitions; the most memory that torch held. Scores are scaled to a standard
deviation of 3, about that of a trained reranker, so that their moves can be read as logits.

``--tiny --device cpu`` proves the script where there is no GPU: a small shape, in float32 only, half precision being
refused there.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from evalkit.models.flag import FlagEmbedder, FlagReranker
from evalkit.models.loading import quiet
from evalkit.models.torch_runtime import Dtype
from evalkit.models.weights import FolderWeights
from evalkit.ports import Pair
from tests.models.xlmr import CARRIER, save_xlmr_tokenizer

Floats = NDArray[np.floating[Any]]
Found = TypeVar("Found")

QUERIES, DOCUMENTS = 20, 50
LENGTHS = (128, 256, 512)
SPREAD = 3.0
REAL = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
SYLLABLES = [first + second for first in "bdfgklmnprst" for second in ("a", "e", "i", "o", "u", "an", "er", "is")]


def build(folder: Path, kind: Literal["reranker", "embedder"], shape: dict[str, int]) -> Path:
    """Write a random model of this shape, with a multilingual tokenizer."""
    import torch
    import transformers

    torch.manual_seed(1)
    told: dict[str, Any] = {**shape, "vocab_size": 250002, "max_position_embeddings": 8194, "type_vocab_size": 1}
    # Weights of the usual 0.02 would give every text nearly the same vector.
    told |= {"pad_token_id": 1, "num_labels": 1, "initializer_range": 1.6 / shape["hidden_size"] ** 0.5}
    name = "XLMRobertaForSequenceClassification" if kind == "reranker" else "XLMRobertaModel"
    with quiet():
        getattr(transformers, name)(transformers.XLMRobertaConfig(**told)).save_pretrained(folder)
    distribution, inside = CARRIER
    return save_xlmr_tokenizer(folder, Path(str(metadata.distribution(distribution).locate_file(inside))), 8192)


def spread_out(folder: Path, device: str, pairs: list[Pair]) -> None:
    """Scale the last layer so that float32 scores of these pairs have the standard deviation ``SPREAD``."""
    from safetensors.torch import load_file, save_file

    scores = reranker(folder, "float32", device, 512).score(pairs)
    weights = load_file(folder / "model.safetensors")
    weights["classifier.out_proj.weight"] *= SPREAD / scores.std()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def words(rng: random.Random, count: int) -> str:
    return " ".join("".join(rng.choices(SYLLABLES, k=rng.randint(1, 3))) for _ in range(count))


def reranker(folder: Path, dtype: Dtype, device: str, max_length: int) -> FlagReranker:
    return FlagReranker(FolderWeights(folder), dtype, device, "", "", max_length, None, 16384)


def embedder(folder: Path, dtype: Dtype, device: str, max_length: int) -> FlagEmbedder:
    weights = FolderWeights(folder)
    return FlagEmbedder("BGEM3FlagModel", weights, dtype, device, "cls", True, "", "", max_length, 16384)


def seconds(work: Callable[[], object], repeat: int) -> list[float]:
    """Of each repetition, after one to warm up."""
    work()
    taken = []
    for _ in range(repeat):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return taken


def rows(
    options: argparse.Namespace, folder: Path, kind: Literal["reranker", "embedder"], dtypes: tuple[Dtype, ...]
) -> Iterator[str]:
    """One line per number format."""
    rng = random.Random(2)
    queries = [words(rng, rng.randint(3, 12)) for _ in range(QUERIES)]
    documents = [words(rng, rng.randint(5, 100)) for _ in range(DOCUMENTS)]
    pairs = [(query, document) for query in queries for document in documents]
    long = [(words(rng, 8), words(rng, 600)) for _ in range(options.pairs)]
    make = reranker if kind == "reranker" else embedder
    if kind == "reranker":
        spread_out(folder, options.device, pairs)

    def matrix(model: Any) -> Floats:
        if kind == "reranker":
            return np.asarray(model.score(pairs)).reshape(QUERIES, DOCUMENTS)
        return np.asarray(model.embed_queries(queries) @ model.embed_documents(documents).T)

    def timed(model: Any) -> list[float]:
        if kind == "reranker":
            return seconds(lambda: model.score(long), options.repeat)
        return seconds(lambda: model.embed_documents([text for _, text in long]), options.repeat)

    exact: Floats | None = None
    for dtype in dtypes:
        found, peak = alone(lambda: matrix(make(folder, dtype, options.device, 512)), options.device)  # noqa: B023
        exact = found if exact is None else exact
        kept = (found.argsort(axis=1, kind="stable") == exact.argsort(axis=1, kind="stable")).all(axis=1).sum()
        cells = [f"{kind:9} {dtype:9} {found.std():7.4f} {np.abs(found - exact).max():9.1e} {kept:3d} of {QUERIES}"]
        for length in LENGTHS:
            taken, held = alone(lambda: timed(make(folder, dtype, options.device, length)), options.device)  # noqa: B023
            rates = [len(long) / one for one in taken]
            cells.append(f"{statistics.median(rates):7.0f} ({min(rates):.0f}-{max(rates):.0f})")
            peak = max(peak, held)
        cells.append(f"{peak / 2**30:6.2f} GiB" if peak else "-")
        yield "  ".join(cells)


def alone(work: Callable[[], Found], device: str) -> tuple[Found, int]:
    """What the work returns, and the most bytes of the GPU that it held, once earlier models are gone."""
    import torch

    gc.collect()
    if device == "cpu":
        return work(), 0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return work(), torch.cuda.max_memory_allocated(device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--tiny", action="store_true", help="a small shape, which proves nothing but the script")
    parser.add_argument("--pairs", type=int, default=256, help="pairs, or texts, that are timed at each length")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    import torch

    if options.device != "cpu" and not torch.cuda.is_available():
        print("torch sees no GPU; --tiny --device cpu proves the script without one", file=sys.stderr)
        raise SystemExit(2)
    dtypes: tuple[Dtype, ...] = ("float32",) if options.device == "cpu" else ("float32", "float16", "bfloat16")
    place = "cpu" if options.device == "cpu" else torch.cuda.get_device_name(options.device)
    print(f"{place}, torch {torch.__version__}, {'tiny' if options.tiny else 'real'} shape, random weights")
    lengths = " / ".join(map(str, LENGTHS))
    print(f"{'':19} {'std':>7} {'off by':>9} same order  per second at {lengths} tokens  peak memory")
    kinds: tuple[Literal["reranker", "embedder"], ...] = ("reranker", "embedder")
    for kind in kinds:
        with tempfile.TemporaryDirectory() as folder:
            model = build(Path(folder), kind, TINY if options.tiny else REAL)
            for row in rows(options, model, kind, dtypes):
                print(row, flush=True)


if __name__ == "__main__":
    main()
