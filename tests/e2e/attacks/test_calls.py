"""Every method, called by those who may not: refused with the right status, without a word too much, and without an effect."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc
import pytest
import trustme
from secured.keys import FOREIGN, OWN
from secured.requests import ADMIN, METHODS, REQUESTS, WITH_NAMESPACE, WITHOUT_COLLECTION, WRITES, ask
from secured.serving import COLLECTION, FOREIGN_TEXT, credentials

from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate_server.security.api_key import new_key
from vecgate_server.security.methods import DEMANDS

NOBODY = grpc.StatusCode.UNAUTHENTICATED
DENIED = grpc.StatusCode.PERMISSION_DENIED


def test_every_method_has_a_request_here_and_a_demand_in_the_server() -> None:
    assert set(METHODS) == set(REQUESTS) == set(DEMANDS)


@pytest.fixture(autouse=True)
def _without_effect(secured_server: Any) -> Iterator[None]:
    before = secured_server.root.everything()
    yield
    assert secured_server.root.everything() == before


def refused(secured: Any, method: str, namespace: str = "", **how: Any) -> Any:
    """Make a call that must be refused, and tell nothing; return the refusal."""
    with pytest.raises(grpc.RpcError) as raised:
        ask(how.pop("stub", secured.stub), method, how.pop("collection", COLLECTION), namespace, **how)
    told = f"{raised.value.details()} {raised.value.trailing_metadata()}"
    assert FOREIGN_TEXT not in told
    assert not secured.keys.secrets_in(told)
    return raised.value


def altered(key: str) -> str:
    return key[:-1] + ("A" if key[-1] != "A" else "B")


NOBODYS = new_key()[1]
STRANGERS: Mapping[str, Callable[[Any], str | list[str] | None]] = {
    "no key": lambda _: None,
    "an empty key": lambda _: "Bearer ",
    "something else": lambda _: "Bearer let-me-in",
    "a key of nobody": lambda _: f"Bearer {NOBODYS}",
    "another secret": lambda keys: f"Bearer {altered(keys['root'])}",
    "a longer secret": lambda keys: f"Bearer {keys['root']}A",
    "the id alone": lambda keys: f"Bearer vg_{keys.id_of('root')}_",
    "the hash": lambda keys: f"Bearer {keys.path.read_text().partition('hash: ')[2].partition(chr(10))[0]}",
    "another scheme": lambda keys: f"Basic {keys['root']}",
    "no scheme": lambda keys: str(keys["root"]),
    "two keys": lambda keys: [f"Bearer {NOBODYS}", f"Bearer {keys['root']}"],
    "a revoked key": lambda keys: f"Bearer {keys['revoked']}",
    "an expired key": lambda keys: f"Bearer {keys['expired']}",
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stranger", STRANGERS.values(), ids=STRANGERS)
def test_a_stranger_is_refused(secured_server: Any, stranger: Callable[[Any], Any], method: str) -> None:
    assert refused(secured_server, method, authorization=stranger(secured_server.keys)).code() is NOBODY


def refused_unread(secured: Any, method: str, *metadata: tuple[str, str]) -> grpc.StatusCode:
    """Begin a call that never sends its request; return how it was refused nevertheless."""
    never = threading.Event()
    with grpc.secure_channel(secured.address, credentials(secured.authority, secured.authority)) as channel:
        call: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(
            f"/vecgate.v1.VectorSearchService/{method}"
        )
        answers = call((b"" for _ in iter(never.wait, True)), metadata=metadata, timeout=10)
        with pytest.raises(grpc.RpcError) as raised:
            next(answers)
        never.set()
    return raised.value.code()


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_read_of_a_stranger(secured_server: Any, method: str) -> None:
    assert refused_unread(secured_server, method) is NOBODY


@pytest.mark.parametrize("method", WRITES)
def test_nothing_is_read_of_who_may_not_use_a_method(secured_server: Any, method: str) -> None:
    key = f"Bearer {secured_server.keys['reader']}"
    assert refused_unread(secured_server, method, ("authorization", key)) is DENIED


def test_a_key_that_never_was_and_one_that_is_over_are_told_alike(secured_server: Any) -> None:
    keys = secured_server.keys
    told = {
        refused(secured_server, "Count", authorization=f"Bearer {key}").details()
        for key in (NOBODYS, altered(keys["root"]), keys["revoked"])
    }
    assert told == {"the API key is not valid"}


def test_the_scheme_may_be_written_in_small_letters(secured_server: Any) -> None:
    assert ask(secured_server.stub, "Count", COLLECTION, OWN, authorization=f"bearer {secured_server.keys['root']}")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", ["plain text", "no certificate", "a certificate of another CA"])
def test_who_does_not_speak_tls_with_a_certificate_gets_no_answer(secured_server: Any, how: str, method: str) -> None:
    key = f"Bearer {secured_server.keys['root']}"
    issuer = trustme.CA() if how.startswith("a certificate") else None
    channel = (
        grpc.insecure_channel(secured_server.address)
        if how == "plain text"
        else grpc.secure_channel(secured_server.address, credentials(secured_server.authority, issuer))
    )
    with channel:
        stub = VectorSearchServiceStub(channel)
        assert refused(secured_server, method, stub=stub, authorization=key).code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("name", "method"),
    [("reader", method) for method in WRITES + ADMIN] + [("writer", method) for method in ADMIN],
)
def test_a_key_of_a_lesser_scope_is_refused(secured_server: Any, name: str, method: str) -> None:
    refusal = refused(secured_server, method, authorization=f"Bearer {secured_server.keys[name]}")
    assert refusal.code() is DENIED
    assert "needs a key with scope" in refusal.details()


@pytest.mark.parametrize("method", [method for method in METHODS if method not in WITHOUT_COLLECTION])
def test_a_key_of_another_collection_is_refused_and_learns_nothing(secured_server: Any, method: str) -> None:
    key = f"Bearer {secured_server.keys['elsewhere']}"
    told = {
        refused(secured_server, method, collection=name, authorization=key).details().replace(name, "NAME")
        for name in (COLLECTION, "nowhere")
    }
    assert len(told) == 1
    assert refused(secured_server, method, authorization=key).code() is DENIED


@pytest.mark.parametrize("method", WITH_NAMESPACE)
def test_a_key_of_another_namespace_is_refused(secured_server: Any, method: str) -> None:
    key = f"Bearer {secured_server.keys['tenant']}"
    assert refused(secured_server, method, FOREIGN, authorization=key).code() is DENIED


@pytest.mark.parametrize("method", ADMIN)
def test_a_key_of_a_namespace_does_nothing_to_whole_collections(secured_server: Any, method: str) -> None:
    assert refused(secured_server, method, authorization=f"Bearer {secured_server.keys['tenant']}").code() is DENIED


def test_no_log_and_no_audit_log_holds_a_secret_or_what_is_stored(secured_server: Any) -> None:
    keys = secured_server.keys
    refused(secured_server, "DeleteCollection", authorization=f"Bearer {keys['revoked']}")
    logs = secured_server.process.log.read_text() + secured_server.audit_file.read_text()
    assert FOREIGN_TEXT not in logs
    assert not keys.secrets_in(logs)
    assert "PRIVATE" not in logs
    lines = [json.loads(line) for line in secured_server.audit_file.read_text().splitlines()]
    last = lines[-1]
    assert last["peer"].startswith("ipv4:127.0.0.1:")
    assert len(last["request_id"]) == 32
    assert {name: last[name] for name in ("outcome", "reason", "method", "claimed_key")} == {
        "outcome": "refused",
        "reason": "UNAUTHENTICATED",
        "method": "DeleteCollection",
        "claimed_key": keys.id_of("revoked"),
    }
    assert "key" not in last
