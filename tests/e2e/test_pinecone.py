"""A server in front of Pinecone, emulated: two replicas share everything, and what is wrong there is told here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from emulators.pinecone import Emulator, Fault
from emulators.pinecone.data_plane import Lag

from vecgate import Client, FlatIndex, NotFoundError, Record, UnavailableError, UnimplementedError, field

KEY = "pcsk_end_to_end"
X, Y = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as server:
        server.project(KEY, lag=Lag(3, 5), ready_after=1)
        yield server


def settings(emulator: Emulator) -> dict[str, Any]:
    options = {"api_key": KEY, "controller_url": emulator.url, "settings_seconds": 0.05, "deadline_seconds": 1}
    return {"backends": {"pinecone": {"kind": "pinecone", "options": options}}, "models": {"preload": []}}


def test_two_servers_in_front_of_one_project_answer_alike(emulator: Emulator, start_server: Any) -> None:
    with (
        Client(start_server(settings(emulator)).address) as one,
        Client(start_server(settings(emulator)).address) as other,
    ):
        one.create_collection("docs", dimension=3)
        records = [Record("é", "along x", X, {"year": 2000, "tags": ["a"]}), Record("y", None, Y, {"year": 2**60 + 1})]
        one.upsert("docs", records).raise_for_failures()
        for client in (one, other):
            matches = client.search("docs", [0.9, 0.1, 0.0], filter=field("year") > 1999).matches
            assert [(match.id, match.text) for match in matches] == [("é", "along x"), ("y", None)]
            assert [match.metadata["year"] for match in matches] == [2000, 2**60 + 1]
            assert [match.id for match in client.search("docs", X, filter=field("year") == 2**60)] == []
        other.delete_collection("docs")
        with pytest.raises(NotFoundError):
            one.search("docs", X)


def test_an_index_that_pinecone_chooses_is_not_changed(emulator: Emulator, start_server: Any) -> None:
    with Client(start_server(settings(emulator)).address) as client:
        made = client.create_collection("docs", dimension=3)
        for index in (None, FlatIndex()):
            with pytest.raises(UnimplementedError, match="'pinecone' cannot change the index") as refused:
                client.update_collection("docs", index=index)
            assert refused.value.reason == "UNSUPPORTED"
        assert client.get_collection("docs").collection == made
        assert [backend.capabilities.index_updates for backend in client.server_info().backends] == [False]


def test_what_is_wrong_at_pinecone_is_told_and_passes(emulator: Emulator, start_server: Any) -> None:
    server = start_server(settings(emulator))
    with Client(server.address) as client:
        client.create_collection("docs", dimension=3)
        client.upsert("docs", [Record("x", None, X)]).raise_for_failures()
        emulator.faults.append(Fault("/query", 503))
        with pytest.raises(UnavailableError) as caught:
            client.search("docs", X)
        assert (caught.value.reason, caught.value.retry_after) == ("BACKEND_UNAVAILABLE", 1.0)
        emulator.faults.clear()
        assert [match.id for match in client.search("docs", X)] == ["x"]
    assert KEY not in server.log.read_text()
