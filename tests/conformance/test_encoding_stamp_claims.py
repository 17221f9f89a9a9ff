"""What a backend claims of encoding stamps is what it does: the suite lets either kind pass, and neither pretend."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import pytest

from vecgate_backends.answers import WriteResult
from vecgate_backends.conformance import Case
from vecgate_backends.conformance.encoding_stamps import TestEncodingStamps as StampSuite
from vecgate_backends.conformance.store import Store
from vecgate_backends.contract import Capabilities
from vecgate_backends.memory import MemoryBackend, MemoryOptions
from vecgate_backends.memory.collection import MemoryCollection
from vecgate_backends.records import Acknowledgement, CollectionSpec, RecordBatch, WriteMode

TESTS = [
    name
    for name, test in vars(StampSuite).items()
    if name.startswith("test_") and "store" in inspect.signature(test).parameters
]


class WithoutStamps(MemoryCollection):
    async def upsert(
        self, namespace: str, batch: RecordBatch, *, mode: WriteMode, acknowledgement: Acknowledgement
    ) -> WriteResult:
        bare = replace(batch, encoding_stamps=())
        return await super().upsert(namespace, bare, mode=mode, acknowledgement=acknowledgement)


class ClaimingBackend(MemoryBackend):
    """Keeps encoding stamps or not, and claims to or not."""

    def __init__(self, *, keeps: bool, claims: bool) -> None:
        super().__init__(MemoryOptions())
        self._keeps = keeps
        self._claims = claims

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, encoding_stamps=self._claims)

    async def create_collection(self, spec: CollectionSpec) -> None:
        await super().create_collection(spec)
        if not self._keeps:
            self._collections[spec.name] = WithoutStamps(spec)


def store_that(directory: Path, *, keeps: bool, claims: bool) -> Store:
    return Store(Case("claims", lambda _: ClaimingBackend(keeps=keeps, claims=claims), reopenable=False), directory)


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("honest", [True, False], ids=["keeps", "keeps none"])
async def test_a_backend_that_does_what_it_claims_passes(test: str, honest: bool, tmp_path: Path) -> None:
    await getattr(StampSuite(), test)(store_that(tmp_path, keeps=honest, claims=honest))


@pytest.mark.parametrize("keeps", [True, False], ids=["keeps in secret", "keeps none in secret"])
async def test_a_backend_that_does_not_do_what_it_claims_fails(keeps: bool, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        await StampSuite().test_stamps_come_back_byte_for_byte(store_that(tmp_path, keeps=keeps, claims=not keeps))
