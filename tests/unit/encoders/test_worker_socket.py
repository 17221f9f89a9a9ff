"""Questions on an event loop, answered by a thread at the other end of a socket, whatever becomes of that end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest

from vecgate_server.encoders.worker_socket import AskingSocket, receive, send


@pytest.fixture
def ends() -> Iterator[tuple[AskingSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    asking = AskingSocket(ours)
    yield asking, theirs
    theirs.close()
    asking.close()


async def answer_to(asking: AskingSocket, message: object, seconds: float = 60.0) -> Any:
    settled: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    asking.ask(message, seconds, settled.set_result)
    return await settled


def echo(end: socket.socket, count: int) -> None:
    for _ in range(count):
        send(end, receive(end))


async def test_questions_are_answered_one_after_another(ends: tuple[AskingSocket, socket.socket]) -> None:
    asking, theirs = ends
    thread = Thread(target=echo, args=(theirs, 2))
    thread.start()
    assert await answer_to(asking, ("first", 1)) == ("first", 1)
    assert await answer_to(asking, "second") == "second"
    thread.join()


async def test_a_message_larger_than_the_socket_takes_at_once_arrives_whole(
    ends: tuple[AskingSocket, socket.socket],
) -> None:
    asking, theirs = ends
    large = bytes(range(256)) * (1 << 16)
    thread = Thread(target=echo, args=(theirs, 2))
    thread.start()
    assert await answer_to(asking, large) == large
    assert await answer_to(asking, "small") == "small"
    thread.join()


async def test_who_waits_for_an_end_that_closes_is_told(ends: tuple[AskingSocket, socket.socket]) -> None:
    asking, theirs = ends
    asyncio.get_running_loop().call_later(0.05, theirs.close)
    assert isinstance(await answer_to(asking, "?"), EOFError | ConnectionError)
    assert isinstance(await answer_to(asking, "?"), EOFError)


async def test_an_end_that_closed_at_rest_is_told_at_the_next_question(
    ends: tuple[AskingSocket, socket.socket],
) -> None:
    asking, theirs = ends
    thread = Thread(target=echo, args=(theirs, 1))
    thread.start()
    await answer_to(asking, "!")
    thread.join()
    theirs.close()
    assert isinstance(await answer_to(asking, "?"), EOFError | ConnectionError)


async def test_who_waits_while_the_socket_is_closed_here_is_told(ends: tuple[AskingSocket, socket.socket]) -> None:
    asking, _ = ends
    asyncio.get_running_loop().call_later(0.05, asking.close)
    assert isinstance(await answer_to(asking, "?"), EOFError)


async def test_a_socket_that_another_thread_closes_while_it_is_asked_first_tells_of_the_other_end(
    ends: tuple[AskingSocket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    asking, _ = ends
    loop = asyncio.get_running_loop()
    add_reader = loop.add_reader
    closing = Thread(target=asking.close)

    def add_reader_slowly(*arguments: Any) -> None:
        add_reader(*arguments)
        closing.start()
        closing.join(0.1)  # it must wait for the end of this

    with monkeypatch.context() as patch:
        patch.setattr(loop, "add_reader", add_reader_slowly)
        error = await answer_to(asking, "?")
    closing.join()
    assert isinstance(error, EOFError)


async def test_an_answer_that_does_not_come_in_time_is_an_error_for_good(
    ends: tuple[AskingSocket, socket.socket],
) -> None:
    asking, theirs = ends
    error = await answer_to(asking, "?", seconds=0.05)
    assert isinstance(error, TimeoutError)
    assert receive(theirs) == "?"
    with pytest.raises(BrokenPipeError):
        send(theirs, "too late")
    assert isinstance(await answer_to(asking, "?"), EOFError)


async def test_an_answer_that_cannot_be_read_is_an_error_for_good(ends: tuple[AskingSocket, socket.socket]) -> None:
    asking, theirs = ends
    theirs.sendall((3).to_bytes(8, "little") + b"???")
    assert "Unpickling" in type(await answer_to(asking, "?")).__name__
    assert isinstance(await answer_to(asking, "?"), EOFError)


def test_an_end_that_closes_in_the_middle_of_a_message_ends_the_reading() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall((1_000).to_bytes(8, "little") + b"a part")
        theirs.close()
        with pytest.raises(EOFError):
            receive(ours)
