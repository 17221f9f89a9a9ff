"""The Pinecone backend: collections as serverless indexes of Pinecone; this side keeps no state that another replica lacks.

What Pinecone cannot hold or tell exactly is kept beside it in reserved metadata and checked again here: types of metadata, text, ids outside
ASCII, scores. docs/backends.md says what costs what.
"""

from vecgate_backends.pinecone.backend import PineconeBackend
from vecgate_backends.pinecone.options import PineconeOptions

__all__ = ["PineconeBackend", "PineconeOptions"]
