"""What a shell offers after Tab: commands, options, and names that the server knows."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from command_line import VECGATE, Server, Vecgate

from vecgate import Client


def offered(words: str, position: int, **variables: str) -> subprocess.CompletedProcess[str]:
    """Ask as bash does: the words of the line, and which of them is being typed."""
    asked = {"_VECGATE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(position)}
    return subprocess.run(
        VECGATE, capture_output=True, text=True, check=False, timeout=60, env=os.environ | asked | variables
    )


def names(done: subprocess.CompletedProcess[str]) -> set[str]:
    assert done.stderr == ""
    return {line.split(",", 1)[1] for line in done.stdout.splitlines()}


def test_commands_and_options_are_offered() -> None:
    assert {"index", "import", "info"} == names(offered("vecgate i", 1))
    assert {"--chunk-tokens", "--chunk-overlap"} == names(offered("vecgate index a.txt --chunk", 3))


@pytest.mark.parametrize(
    "words", ["vecgate count -c {}", "vecgate export {}", "vecgate import a.jsonl {}", "vecgate collections show {}"]
)
def test_names_of_collections_come_from_the_server(
    memory_server: Server, client: Client, docs: str, words: str
) -> None:
    line = words.format(docs[:6])
    found = names(offered(line, line.count(" "), VECGATE_TARGET=memory_server.address))
    assert docs in found
    assert all(name.startswith("collec") for name in found)


def test_the_server_named_on_the_line_is_asked(memory_server: Server, client: Client, docs: str) -> None:
    line = f"vecgate -t {memory_server.address} count -c {docs}"
    assert docs in names(offered(line, 5))
    line = f"vecgate count -t {memory_server.address} -c {docs}"
    assert docs in names(offered(line, 5))
    assert "all-MiniLM-L6-v2" in names(offered(f"vecgate encode -t {memory_server.address} --model all", 5))


def test_a_server_that_is_away_is_passed_over_in_silence(unused_tcp_port: int) -> None:
    began = time.monotonic()
    done = offered("vecgate count -c x", 3, VECGATE_TARGET=f"127.0.0.1:{unused_tcp_port}")
    assert (done.stdout.strip(), done.stderr) == ("", "")
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script(vecgate: Vecgate, folder: Path, shell: str) -> None:
    done = vecgate("completion", shell)
    assert (done.status, done.err) == (0, "")
    assert "_VECGATE_COMPLETE" in done.out
    if program := shutil.which(shell):
        (folder / "script").write_text(done.out)
        subprocess.run([program, "-n", folder / "script"], check=True, timeout=60)
