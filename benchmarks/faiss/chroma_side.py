"""Chroma's server and its Python client, as a program for an environment of their own: it imports nothing of this project.

It reads questions as JSON lines and answers each with one. Vectors come as files of numpy.save.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import chromadb  # type: ignore[import-not-found]  # of another environment
import numpy as np

BATCH = 1_000


class Side:
    """A running server and a collection on it."""

    def __init__(self, folder: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        program = Path(sys.executable).with_name("chroma")
        command = [str(program), "run", "--path", folder, "--port", str(self.port)]
        self.server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while True:
            try:
                self.client().heartbeat()
                break
            except Exception:
                if time.monotonic() > end or self.server.poll() is not None:
                    raise
                time.sleep(0.2)
        self.number = 0

    def client(self) -> Any:
        return chromadb.HttpClient(host="127.0.0.1", port=self.port)

    def fill(self, records: str, random: str, ef: int) -> float:
        """Upsert everything in batches and return the seconds."""
        vectors, shares = np.load(records), np.load(random)
        self.number += 1
        self.name = f"real{self.number}"
        settings = {"hnsw": {"space": "cosine", "ef_search": ef}}
        collection = self.client().create_collection(self.name, configuration=settings)
        ids = [str(row) for row in range(len(vectors))]
        metadata = [{"random": share} for share in shares.tolist()]
        began = time.perf_counter()
        for begin in range(0, len(ids), BATCH):
            end = begin + BATCH
            collection.upsert(ids[begin:end], embeddings=vectors[begin:end], metadatas=metadata[begin:end])
        return time.perf_counter() - began

    def found(self, queries: str, top_k: int, bound: int | None = None) -> Any:
        """Return the ids of each query's nearest records."""
        collection = self.client().get_collection(self.name)
        vectors = np.load(queries)
        where = None if bound is None else {"random": {"$lt": bound}}
        answer = collection.query(query_embeddings=vectors, n_results=top_k, include=["distances"], where=where)
        return answer["ids"]

    def rate(self, queries: str, top_k: int, callers: int, seconds: float, bound: int | None = None) -> float:
        """Ask one query at a time from so many threads and return queries a second."""
        vectors = np.load(queries)
        where = None if bound is None else {"random": {"$lt": bound}}
        counts, begin = [0] * callers, time.perf_counter() + 1.0
        end = begin + seconds

        def call(number: int) -> None:
            collection = self.client().get_collection(self.name)
            at = number * 7919
            while (now := time.perf_counter()) < end:
                query = vectors[at % len(vectors)][None]
                collection.query(query_embeddings=query, n_results=top_k, include=["distances"], where=where)
                at += 1
                counts[number] += now >= begin

        threads = [threading.Thread(target=call, args=(number,)) for number in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / (time.perf_counter() - begin)


def main() -> None:
    side = Side(sys.argv[1])
    try:
        print(json.dumps(chromadb.__version__), flush=True)
        for line in sys.stdin:
            question = json.loads(line)
            print(json.dumps(getattr(side, question.pop("ask"))(**question)), flush=True)
    finally:
        side.server.kill()


if __name__ == "__main__":
    main()
