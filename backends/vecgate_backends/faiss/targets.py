"""Which records an operation of the writer is about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from vecgate_backends.contract import ByFilter, ByIds, Everything, Selector
from vecgate_backends.faiss.block import record_ids
from vecgate_backends.faiss.operations import Targets
from vecgate_backends.faiss.partition import Partition

NAMED_INLINE = 8192
"""Versions whose record ids are looked up on the event loop, about 5 ms."""


async def targets_of(selector: Selector, partition: Callable[[], Partition]) -> Targets:
    """Return what is selected now of the partition, which is asked for only if that matters."""
    match selector:
        case ByIds(ids):
            return Targets(ids)
        case ByFilter(node):
            searched = partition()
            matching = searched.metadata.matching(node)
            if len(matching) <= NAMED_INLINE:
                return Targets(record_ids(searched.blocks(), matching), node)
            return Targets(await asyncio.to_thread(record_ids, searched.blocks(), matching), node)
        case Everything():
            return Targets(None)
