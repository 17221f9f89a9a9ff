"""A backend of vecgate from outside: exact search in memory, and one file for each collection, rewritten by every write.

It is an example, complete and durable, for a few thousand records. Searching is left to the memory backend; what a vendor's SDK would do
stands here as reading and writing files.
"""

from vecgate_shelf.backend import ShelfBackend, ShelfOptions

__all__ = ["ShelfBackend", "ShelfOptions"]
