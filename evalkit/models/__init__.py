"""Embedders and rerankers: one backend per file, all of one shape."""
