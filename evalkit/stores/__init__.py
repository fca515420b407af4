"""What is remembered: document vectors in Qdrant, vectors and pair scores in SQLite."""
