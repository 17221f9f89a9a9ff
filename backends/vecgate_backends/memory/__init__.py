"""The memory backend: exact search with NumPy over dictionaries; nothing survives the process.

It is written to be obviously right, because it is the oracle that other backends are measured against and the double
that tests use. Every method does its work in one step of the event loop, so each call sees a consistent state; a search
costs time proportional to the records of the namespace, so keep it to some ten thousand.
"""

from vecgate_backends.memory.backend import MemoryBackend, MemoryOptions

__all__ = ["MemoryBackend", "MemoryOptions"]
