"""Which searches the group ``retrieval`` of a configuration asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evalkit.checks import settings, unfit
from evalkit.errors import ConfigError
from evalkit.record import Fusion

PARTS = {
    "run": "null, or what retrieval=run_file retrieval.run.path=... brings: a run made elsewhere",
    "sparse": "null, or an encoder as retrieval=bm25, bge_m3_sparse, hybrid or hybrid_bge_m3 brings it",
}
"""Setting -> what is expected of one that holds a class."""


def embeds(retrieval: Mapping[str, Any]) -> bool:
    """Whether an embedder is asked for: not beside a run, nor where words are searched and nothing is fused.

    Args:
        retrieval: The group; words alone are asked for by leaving ``fusion`` out, so that a null in its place, which
            may have been meant otherwise, is told from it.
    """
    return retrieval.get("run") is None and (retrieval.get("sparse") is None or "fusion" in retrieval)


def fusion_of(retrieval: Mapping[str, Any]) -> Fusion | None:
    """How two searches become one; None where there is one.

    Raises:
        ConfigError: The setting is null beside two searches, or something else than a fusion.
    """
    asked = retrieval.get("fusion")
    if asked is None:
        if embeds(retrieval) and retrieval["sparse"] is not None:
            raise ConfigError(
                "retrieval.fusion is null, and nothing else joins the search of the embedder and that of words; "
                "expected k and depth, as retrieval=hybrid brings them. To search words alone: retrieval=bm25 or "
                "bge_m3_sparse; vectors alone: retrieval=dense"
            )
        return None
    if not isinstance(asked, Mapping):
        raise unfit("retrieval.fusion", asked, "k and depth, as retrieval=hybrid or hybrid_bge_m3 brings them")
    return Fusion(**settings("retrieval.fusion", asked, ("k", "depth")))
