"""Measurements of the Faiss backend through a real server; run by `python -m benchmarks.faiss`."""
