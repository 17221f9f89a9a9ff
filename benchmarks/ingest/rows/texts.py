"""Records whose texts the server encodes: definitions of WordNet."""

from __future__ import annotations

from itertools import islice

from benchmarks.datasets import read_lines, required_file
from benchmarks.ingest.bench import Bench, compare
from benchmarks.result import Measured, Row
from benchmarks.server import serving
from vecgate import Record


def measure(bench: Bench) -> Measured:
    """Both ways into a server whose cache of texts is off, so that every turn encodes every text."""
    lines = read_lines(required_file(bench.data / "wordnet" / "synsets.jsonl.gz"))
    distinct = {line["text"]: line["_id"] for line in islice(lines, 2 * bench.scale.texts)}
    records = [Record(id_, text) for text, id_ in islice(distinct.items(), bench.scale.texts)]
    with serving(bench.work, encoder={"cache_mib": 0}) as server, server.client() as client:
        figures, verdicts = compare(client, lambda: records, bench.scale.rounds, 1.5, None)
    return Measured(tuple(figures), tuple(verdicts))


ROW = Row("texts", "texts to encode, over a stream and in a loop of calls", measure)
