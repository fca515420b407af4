"""What a store holds of the documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evalkit.ports import Embedder
from evalkit.stages import Log, Plan, key_of
from evalkit.types import Dataset

_NUMBERED = "\x1f"
"""Between a document's id and the number of its window. Every window has a number, so that no two ids are the same."""


@dataclass(frozen=True, slots=True)
class Points:
    """What the store holds: every document, or its windows.

    Attributes:
        texts: Point id -> what the model reads.
        parents: Point id -> document id.
        windows: Whether these are windows.
    """

    texts: Mapping[str, str]
    parents: Mapping[str, str]
    windows: bool = False

    @classmethod
    def whole(cls, dataset: Dataset) -> Points:
        """One point per document."""
        contents = {document.id: document.content for document in dataset.documents}
        return cls(contents, {doc_id: doc_id for doc_id in contents})

    @classmethod
    def of(cls, plan: Plan, embedder: Embedder, dataset: Dataset, log: Log) -> Points:
        """One point per document; where windows are asked for, one per window, and one window where it fits."""
        whole = cls.whole(dataset)
        if plan.long.stage1 == "cut":
            return whole
        contents = whole.texts
        found: dict[str, list[str]] = {}
        with log.phase("split_documents"):
            for chunk, windows in plan.executor.map(
                lambda doc_ids: embedder.windows([contents[doc_id] for doc_id in doc_ids], plan.long.overlap),
                list(contents),
                "documents in windows",
            ):
                found.update(zip(chunk, windows, strict=True))
        texts = {
            f"{doc_id}{_NUMBERED}{number}": window for doc_id in contents for number, window in enumerate(found[doc_id])
        }
        return cls(texts, {point: point.rpartition(_NUMBERED)[0] for point in texts}, windows=True)

    def collection(self, model: bytes, dataset: Dataset) -> str:
        """The name of what holds these points' vectors: another one for other points.

        Args:
            model: Stands for whatever makes the vectors.
            dataset: Of the documents.
        """
        windows = [key_of(*self.texts, *self.texts.values())] if self.windows else []
        return key_of(model, dataset.corpus_digest, *windows).hex()[:24]
