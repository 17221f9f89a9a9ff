"""A corpus that is indexed again costs the texts that changed, also after the server was killed and started anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vecgate import Client, Fields, Record

pytestmark = pytest.mark.model

FIRST = {"mat": "The cat sat on the mat.", "rug": "A feline rested on the rug.", "gpu": "GPU prices rose."}
CHANGED = FIRST | {"gpu": "Interest rates fell."}


def vectors(client: Client) -> dict[str, bytes]:
    found = client.get("corpus", list(FIRST), fields=Fields(vector=True))
    return {record.id: np.asarray(record.vector).tobytes() for record in found}


def test_after_a_kill_only_what_changed_is_encoded(start_server: Any) -> None:
    server = start_server({})
    with Client(server.address) as client:
        client.wait_ready()
        client.create_collection("corpus")
        first = client.upsert("corpus", [Record(id_, text, metadata={"run": 1}) for id_, text in FIRST.items()])
        assert (first.stored, first.reused) == (3, 0)
        before = vectors(client)
    server.kill()
    with Client(start_server({}).address) as client:
        client.wait_ready()
        again = client.upsert("corpus", [Record(id_, text, metadata={"run": 2}) for id_, text in CHANGED.items()])
        assert (again.stored, again.reused, again.model) == (3, 2, first.model)
        after = vectors(client)
        assert {id_: after[id_] == before[id_] for id_ in FIRST} == {"mat": True, "rug": True, "gpu": False}
        assert client.count("corpus", filter="run = 2") == 3
        assert client.search("corpus", "What do loans cost?", top_k=1).matches[0].id == "gpu"
