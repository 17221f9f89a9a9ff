"""An emulator of Pinecone's HTTP API, version 2026-07: control plane, and data plane of vector indexes.

It is for the unmodified SDK, and strict: it implements what the documentation says, refuses what the documentation says is refused, and
has nothing that Pinecone has not. Where the documentation leaves a choice it takes the one that is harder on its caller: comparisons
never cross types, a negation on a list holds if it does for any element, scores are slightly off, and fetches lag behind queries. What it proves
is our translation, not the vendor's engine.
"""

from emulators.pinecone.faults import Fault
from emulators.pinecone.server import Emulator

__all__ = ["Emulator", "Fault"]
