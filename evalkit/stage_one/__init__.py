"""Stage 1: dense, sparse or hybrid retrieval, once, whatever the number of top-k values."""

from evalkit.stage_one.retrieval import Retrieval, check_retrieval, retrieve, stage_one_of

__all__ = ["Retrieval", "check_retrieval", "retrieve", "stage_one_of"]
