"""From the start of a process to its first answer, and its memory then."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import defaultdict

from benchmarks.encoder.bench import Bench
from benchmarks.encoder.reference import packaged_model
from benchmarks.result import Measured, Row, at_least, at_most, figure
from benchmarks.server import MIB, memory_of
from benchmarks.statistics import ratios

UNITS = {"start": "s", "RSS": "MiB", "PSS": "MiB", "processes": ""}
# What a program without a server does; it says when it is done and waits to be looked at.
PROGRAM = """
import sys
from sentence_transformers import SentenceTransformer
SentenceTransformer(sys.argv[1], device="cpu").encode("a first text")
print("encoded", flush=True)
sys.stdin.read()
"""


def measure(bench: Bench) -> Measured:
    """Start the server until health answers SERVING, then a program that loads SentenceTransformer, in turns."""
    seen: dict[str, list[float]] = defaultdict(list)
    # What is read from the disk the first time is not what is asked here; the graph is made here too.
    _start_server(bench)
    _start_program()
    for _ in range(bench.scale.rounds):
        for name, values in (("server", _start_server(bench)), ("program", _start_program())):
            for label, value in values.items():
                seen[f"{name}, {label}"].append(value)
    return Measured(
        figures=tuple(figure(name, UNITS[name.rpartition(", ")[2]], values) for name, values in seen.items()),
        verdicts=(
            at_least(
                "times faster to the first answer", "x", ratios(seen["program, start"], seen["server, start"]), 4, 8
            ),
            at_most(
                "resident memory (RSS) to the program's",
                "x",
                ratios(seen["server, RSS"], seen["program, RSS"]),
                0.6,
                0.4,
            ),
            at_most(
                "proportional memory (PSS) to the program's",
                "x",
                ratios(seen["server, PSS"], seen["program, PSS"]),
                0.6,
                0.4,
            ),
        ),
        notes=(
            (
                "the server as shipped: Faiss, all-MiniLM-L6-v2, its graph made before; memory of it and all its processes "
                "right after SERVING; the program has only just encoded one text"
            ),
        ),
    )


def _start_server(bench: Bench) -> dict[str, float]:
    with bench.server(cache_mib=64) as server:
        memory = server.memory()
        return {
            "start": server.seconds_to_serving,
            "RSS": memory.rss / MIB,
            "PSS": memory.pss / MIB,
            "processes": memory.processes,
        }


def _start_program() -> dict[str, float]:
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(packaged_model())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as program:
        assert program.stdout is not None
        line = program.stdout.readline()
        seconds = time.monotonic() - began
        memory = memory_of(program.pid)
        program.communicate()
    if line != "encoded\n":
        raise RuntimeError("the program with SentenceTransformer did not get to its first vector")
    return {"start": seconds, "RSS": memory.rss / MIB, "PSS": memory.pss / MIB}


ROW = Row("warm-start", "warm start and resident memory", measure)
