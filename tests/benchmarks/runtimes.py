"""How fast is the same cross-encoder on torch, ONNX Runtime and OpenVINO? ``make bench BENCH=runtimes``.

The carrier's ms-marco-MiniLM-L-12-v2, de-quantised and exported, reads built-in pairs of mixed lengths: every runtime
in turn (A B C A B C ...), each as evalkit runs it. Printed: pairs per second as median and range.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from evalkit.models.export import GRAPH, INT8_GRAPH, Exporter
from evalkit.models.runtimes import RUNTIMES
from evalkit.models.samples import LONG_PAIRS, PAIRS
from evalkit.models.weights import FolderWeights
from tests.models.conftest import flag_reranker, onnx_reranker
from tests.models.dequantise import dequantise

MAX_LENGTH = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--copies", type=int, default=4, help="of the built-in pairs in one measurement")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        source, folder = dequantise(Path(scratch, "source")), Path(scratch, "out")
        folder.mkdir()
        torch = flag_reranker(source, max_length=MAX_LENGTH, token_budget=2048)
        exporter = Exporter("reranker", torch, FolderWeights(source), {}, folder)
        exporter.write()
        exporter.write_int8()
        models = {("torch", "float32"): torch} | {
            (runtime, kind): onnx_reranker(folder, file=file, runtime=runtime, max_length=MAX_LENGTH)
            for kind, file in (("float32", GRAPH), ("int8", INT8_GRAPH))
            for runtime in RUNTIMES
        }
        pairs = [*PAIRS, *LONG_PAIRS] * options.copies
        print(f"{len(pairs)} pairs of {torch.count_tokens(pairs).clip(max=MAX_LENGTH).mean():.0f} tokens")
        for model in models.values():
            model.score(pairs[:1])
        speeds: dict[tuple[str, str], list[float]] = {name: [] for name in models}
        for _ in range(options.repeat):
            for name, model in models.items():
                started = time.perf_counter()
                model.score(pairs)
                speeds[name].append(len(pairs) / (time.perf_counter() - started))
    for (runtime, kind), found in speeds.items():
        spread = f"range {min(found):.1f} to {max(found):.1f}"
        print(f"{runtime:12} {kind:8} median {statistics.median(found):.1f} pairs/s ({spread})")


if __name__ == "__main__":
    main()
