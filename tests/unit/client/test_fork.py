"""What a fork does to a client: see docs/client.md. Each case is a program of its own, since a fork takes all with it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

Start = Callable[..., tuple[Any, str]]

PROGRAM = """
import asyncio, gc, multiprocessing, os, signal, sys
from vecgate import AsyncClient, Client

target = sys.argv[1]


def in_child(work):
    '''Fork; return what the child said, or how it died.'''
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(20)
        try:
            said = work() or "done"
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        sys.exit()  # as workers do: with all that an interpreter does at its end
    os.close(writing)
    with os.fdopen(reading) as words:
        said = words.read()
    _, status = os.waitpid(child, 0)
    return f"died {status}" if status else said


async def ask_alone():
    async with AsyncClient(target) as client:
        for _ in range(5):
            await client.server_info()


def ask(client):
    for _ in range(5):
        client.server_info()
"""

CASES = {
    "a client that was used before refuses calls, and the parent's goes on": """
client = Client(target)
ask(client)
for _ in range(5):
    print(in_child(client.server_info))
    print(in_child(lambda: (client.close(), gc.collect()) and "closed"))
    ask(client)
""",
    "a client that was not used yet works on both sides": """
client = Client(target)
print(in_child(lambda: ask(client)))
ask(client)
""",
    "a new client in the child works beside the parent's": """
client = Client(target)
ask(client)
for _ in range(5):
    print(in_child(lambda: ask(Client(target))))
    print(in_child(lambda: asyncio.run(ask_alone())))
    ask(client)
""",
    "workers that a server forks before it serves have clients of their own": """
def worker():
    with Client(target) as own:
        for _ in range(20):
            own.server_info()

preloaded = Client(target)
ask(preloaded)
for _ in range(3):
    print(in_child(worker))
    ask(preloaded)
""",
    "a pool of multiprocessing's forks has clients of its own": """
def work(_):
    with Client(target) as own:
        return own.server_info().limits.max_batch

client = Client(target)
ask(client)
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(*pool.map_async(work, range(8)).get(timeout=20))
ask(client)
""",
    "an asynchronous client in a child of a process that ran one": """
asyncio.run(ask_alone())
for _ in range(3):
    print(in_child(lambda: asyncio.run(ask_alone())))
    print(in_child(lambda: ask(Client(target))))
""",
    "an asynchronous client that was used before refuses calls": """
async def main():
    client = AsyncClient(target)
    await client.server_info()
    if not (child := os.fork()):
        try:
            await client.server_info()
        except RuntimeError as error:
            os.write(1, f"{error}\\n".encode())
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    await client.server_info()
    await client.close()

asyncio.run(main())
""",
}
REFUSED = "this client was used before the process forked, and its connection is the parent's; make another one here"
SAID = [
    [f"RuntimeError: {REFUSED}", "closed"] * 5,
    ["done"],
    ["done"] * 10,
    ["done"] * 3,
    ["100 100 100 100 100 100 100 100"],
    ["done"] * 6,
    [REFUSED],
]


@pytest.mark.parametrize(("case", "said"), list(zip(CASES, SAID, strict=True)), ids=list(CASES))
def test_after_a_fork(start: Start, case: str, said: list[str]) -> None:
    _, target = start()
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM + CASES[case], target]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout.splitlines() == said, done.stderr[-2000:]
    assert done.returncode == 0, done.stderr[-2000:]
