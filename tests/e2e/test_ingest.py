"""One command indexes WordNet while its server is killed and started again: nothing is lost, and the bar tells the truth.

VECGATE_TEST_SYNSETS says how many synsets, VECGATE_TEST_INGEST_KILLS how many kills; `make test-ingest` takes all 117,659 and five.
"""

from __future__ import annotations

import gzip
import itertools
import json
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import VECGATE
from faults.killed_server import KilledServer, Killer
from faults.watched_command import run_watched

from vecgate import Client, Fields, VecgateError

log = logging.getLogger(__name__)

SYNSETS = int(os.environ.get("VECGATE_TEST_SYNSETS", "2000"))
KILLS = int(os.environ.get("VECGATE_TEST_INGEST_KILLS", "2"))
WINDOW = 512
"""Records that may be under way: those that a kill can cost once more."""
SLOWEST = 20
"""Synsets a second on the slowest machine that this is run on."""
VECTORS = 400
"""Records whose vectors are compared with those of their texts, encoded again."""

Expected = dict[str, tuple[str, dict[str, Any]]]


class BarWatch:
    """Compares the bar with the store: it never runs ahead, and lags behind by no more than what is under way."""

    def __init__(self, client: Client, killer: Killer) -> None:
        self._client = client
        self._killer = killer
        self._stored_before = 0
        self.states: list[int] = []
        self.compared = 0

    def see(self, done: int, total: int) -> None:
        assert total == SYNSETS
        assert done >= (self.states[-1] if self.states else 0)
        assert done >= self._stored_before - WINDOW
        self.states.append(done)
        self._killer.reach(done)
        try:
            # Counted after the bar was read: what it showed is stored.
            stored = self._client.count("wordnet", timeout=1)
        except VecgateError:
            return
        assert stored >= done
        self._stored_before = stored
        self.compared += 1


def corpus(test_data: Path, folder: Path) -> tuple[Path, Expected]:
    """Return a file of the first synsets, the file itself for all of them, and what is to be stored of it."""
    everything = test_data / "wordnet" / "synsets.jsonl.gz"
    with gzip.open(everything, "rt", encoding="utf-8") as lines:
        chosen = list(itertools.islice(lines, SYNSETS))
        path = everything if next(lines, None) is None else folder / "synsets.jsonl.gz"
    assert len(chosen) == SYNSETS
    if path != everything:
        path.write_bytes(gzip.compress("".join(chosen).encode()))
    expected: Expected = {}
    for row in map(json.loads, chosen):
        values = {"title": row["title"]} | row["metadata"]
        expected[row["_id"]] = (
            row["text"],
            {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()},
        )
    return path, expected


def check_store(client: Client, expected: Expected) -> None:
    assert client.count("wordnet") == len(expected) == SYNSETS
    some = set(itertools.islice(expected, 0, None, max(1, SYNSETS // VECTORS)))
    vectors: dict[str, Any] = {}
    seen: set[str] = set()
    for record in client.list("wordnet", fields=Fields(vector=True), page_size=500):
        assert (record.text, dict(record.metadata)) == expected[record.id]
        assert record.id not in seen
        seen.add(record.id)
        if record.id in some:
            vectors[record.id] = record.vector
    assert len(seen) == SYNSETS
    texts = [expected[record_id][0] for record_id in vectors]
    wanted = client.encode(texts, "document", timeout=600).vectors
    cosines = np.einsum("ij,ij->i", np.stack(list(vectors.values())), wanted)
    assert cosines.min() > 0.9999


@pytest.mark.model
@pytest.mark.timeout(300 + 60 * KILLS + SYNSETS // SLOWEST)
def test_one_command_indexes_wordnet_while_its_server_is_killed(
    start_server: Any, test_data: Path, tmp_path: Path, unused_tcp_port_factory: Any
) -> None:
    path, expected = corpus(test_data, tmp_path)
    settings = {"limits": {"stream_window_records": WINDOW}}
    server = KilledServer(start_server, settings, [unused_tcp_port_factory(), unused_tcp_port_factory()])
    marks = [SYNSETS * (kill + 1) // (KILLS + 1) for kill in range(KILLS)]
    command = [*VECGATE, "-t", server.address, "index", str(path), "-c", "wordnet", "--create", "--id-field", "_id"]
    environment = {"VECGATE_STATE_DIR": str(tmp_path / "state")}
    with Client(server.address) as client:
        client.wait_ready()
        with Killer(server, marks, wait_seconds=60 + SYNSETS / SLOWEST) as killer:
            watch = BarWatch(client, killer)
            done = run_watched(command, watch.see, environment=environment)
        assert (done.status, killer.kills) == (0, KILLS), done.shown[-2_000:]
        assert f"stored {SYNSETS:,} records" in done.out
        assert "refused 0" in done.out
        assert watch.states[-1] == SYNSETS
        assert watch.compared > KILLS
        client.wait_ready()
        encoded = server.encoded + server.encoded_in_this_life()
        log.info(
            "%s; %d texts encoded for %d synsets, bar compared %d times",
            done.out.strip(),
            encoded,
            SYNSETS,
            watch.compared,
        )
        # Definitions that come twice are encoded once.
        assert 0.8 * SYNSETS < encoded <= SYNSETS + KILLS * WINDOW
        check_store(client, expected)
    assert list((tmp_path / "state").iterdir()) == []
