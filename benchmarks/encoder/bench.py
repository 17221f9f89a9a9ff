"""What every row is given: texts, sizes, servers, the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.datasets import PackageTexts
from benchmarks.encoder.reference import Reference
from benchmarks.server import ServerProcess, serving


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured.

    Attributes:
        documents, queries: texts of the corpus.
        rounds: how often each side of a comparison has its turn.
        calls: calls of a measurement of single texts.
        seconds: length of a measurement under load.
        overload_seconds: length of the overload.
        stored_vectors: records of the collection that is searched.
        documents_a_model: documents that each of several models encodes.
    """

    documents: int = 2_000
    queries: int = 2_000
    rounds: int = 3
    calls: int = 300
    seconds: float = 10.0
    overload_seconds: float = 60.0
    stored_vectors: int = 5_000
    documents_a_model: int = 400


FULL = Scale()
QUICK = Scale(
    documents=128,
    queries=400,
    rounds=2,
    calls=20,
    seconds=2.0,
    overload_seconds=5.0,
    stored_vectors=500,
    documents_a_model=24,
)


@dataclass(frozen=True, slots=True)
class Bench:
    """The setting of a run.

    Attributes:
        scale: how much is measured.
        texts: the corpus.
        data: the folder of larger data.
        work: a folder for what is made; gone after the run.
        cores: threads that both sides of a comparison get.
    """

    scale: Scale
    texts: PackageTexts
    data: Path
    work: Path
    cores: int

    def server(
        self, *, models: Mapping[str, Any] | None = None, name: str = "server", **encoder: Any
    ) -> AbstractContextManager[ServerProcess]:
        """Serve with these settings of section encoder; the cache of texts is off unless they say otherwise."""
        return serving(
            self.work,
            encoder={"graph_directory": str(self.graphs), "threads": self.cores, "cache_mib": 0} | encoder,
            models=models,
            name=name,
        )

    @contextmanager
    def warm_server(self, **encoder: Any) -> Iterator[ServerProcess]:
        """Serve as server() does, after some texts of every length were encoded in both roles."""
        with self.server(**encoder) as server, server.client() as client:
            for role in ("query", "document"):
                client.encode(self.texts.documents[:64], role)
            yield server

    def reference(self) -> AbstractContextManager[Reference]:
        """Load SentenceTransformer in a process of its own."""
        return Reference(self.cores)

    @property
    def graphs(self) -> Path:
        """Where the graphs of this run are kept."""
        return self.work / "graphs"
