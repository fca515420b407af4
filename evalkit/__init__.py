"""Does the reranker earn its latency on your data?"""
