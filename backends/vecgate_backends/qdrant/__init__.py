"""The Qdrant backend: collections of a Qdrant server, or of the client's own engine on a laptop.

Nothing is kept here that the engine does not hold, so any number of vecgate servers can stand in front of one Qdrant:

- A collection is a Qdrant collection `<prefix><name>`; its settings and its identity are in that collection's metadata.
- A point's id is UUIDv5 of identity, namespace and record id; the payload holds the record (payload.py says how).
- The identity also stands in the name of the vector and in the value of the namespace field, so that a handle of a collection
  that was deleted elsewhere, and made again under the same name, can neither read nor write the new one.
- COSINE collections compare unit vectors by inner product. A vector that is not of length one keeps its original in the payload.
- Writes wait until they are applied, so a read that follows a write sees it.
"""

from vecgate_backends.qdrant.backend import QdrantBackend
from vecgate_backends.qdrant.options import QdrantOptions

__all__ = ["QdrantBackend", "QdrantOptions"]
