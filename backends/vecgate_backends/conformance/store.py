"""A backend under test on a directory of its own."""

from __future__ import annotations

from pathlib import Path

from vecgate_backends.conformance.case import Case
from vecgate_backends.conformance.material import DIMENSION
from vecgate_backends.contract import Backend, Collection
from vecgate_backends.records import CollectionSpec, Metric


class Store:
    """Opens, closes and reopens what a case builds."""

    def __init__(self, case: Case, directory: Path) -> None:
        self.case = case
        self.backend: Backend = case.build(directory)
        self.refusals: list[str] = []
        self._directory = directory

    async def reopen(self) -> None:
        """Close the backend and start another one on the same directory."""
        await self.backend.close()
        self.backend = self.case.build(self._directory)
        await self.backend.start()

    async def settle(self) -> None:
        """Wait until background work is done."""
        await self.case.settle(self.backend)

    def note_refusal(self, what: str) -> None:
        """Tell the report that a test was passed by a refusal: the capabilities deny what it is about."""
        self.refusals.append(what)

    async def create(
        self, name: str = "things", *, metric: Metric = Metric.COSINE, dimension: int = DIMENSION
    ) -> Collection:
        """Create a collection with the case's index, and open it."""
        await self.backend.create_collection(CollectionSpec(name, dimension, metric, index=self.case.index))
        return await self.backend.collection(name)
