"""The Faiss backend: embedded, durable, the default.

SQLite holds the truth and Faiss an index that is derived from it. From a call to the disk, file by file: backend, collection, writer →
operations → transaction → changes → partition (head, segments, metadata_index); and for a search: searcher → search → scoring.
"""

from vecgate_backends.faiss.backend import FaissBackend, FaissOptions

__all__ = ["FaissBackend", "FaissOptions"]
