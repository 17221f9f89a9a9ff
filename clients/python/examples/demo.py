"""A tour of vecgate: start a server, index 1,000 abstracts, ask questions, restart the server, ask again.

Run it with `make demo`. Its data stays in .demo/, so the second run finds the abstracts indexed.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from textwrap import shorten

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from vecgate import Client, Match, Record, VecgateError

REPOSITORY = Path(__file__).resolve().parents[3]
HOME = REPOSITORY / ".demo"
CORPUS = Path(__file__).with_name("pubmedqa") / "corpus.jsonl.gz"
COLLECTION = "abstracts"
BATCH = 16
QUESTIONS = (
    "Does bathing make some infants faint?",
    "Are tailored interventions effective in getting women to have a mammography?",
    "Is smoke at home a danger to newborn babies?",
    "Do traffic laws reduce road deaths?",
)
FILTER = 'year >= 2010 AND final_decision = "yes" AND meshes = "Child"'
SERVER_CONFIG = """\
server: {{port: 0}}
backends:
  local: {{kind: faiss, options: {{path: "{path}"}}}}
default_backend: local
"""

console = Console(highlight=False)


def main() -> None:
    """Run the tour."""
    started = time.monotonic()
    with running_server() as client:
        show_similarity(client)
        index_corpus(client)
        first = [client.search(COLLECTION, question, top_k=3).matches for question in QUESTIONS]
        console.print(f"\n[dim]First answer {time.monotonic() - started:.0f} s after the start.[/]")
        for question, matches in zip(QUESTIONS, first, strict=True):
            show_matches(question, matches)
        show_filtered_search(client)
        show_prompt(QUESTIONS[1], first[1])
    console.rule("The same data, after a restart")
    with running_server() as client:
        again = [client.search(COLLECTION, question, top_k=3).matches for question in QUESTIONS]
    if scores_by_id(first) != scores_by_id(again):
        sys.exit("The answers after the restart differ: this is a bug, please report it.")
    console.print(f"{len(QUESTIONS)} questions asked again: the same abstracts with the same scores.")
    show_what_next()


@contextmanager
def running_server() -> Iterator[Client]:
    """Start `vecgate-server` on the demo's data and a free port; yield a client once it serves; stop it."""
    HOME.mkdir(exist_ok=True)
    config = HOME / "vecgate.yaml"
    config.write_text(SERVER_CONFIG.format(path=HOME / "data"))
    server = subprocess.Popen(
        [Path(sys.executable).with_name("vecgate-server"), "--config", config],
        stdout=subprocess.PIPE,
        stderr=(HOME / "server.log").open("a"),
        text=True,
    )
    try:
        with console.status("Starting vecgate-server (it loads the model)…"):
            address = serving_address(server)
        with Client(address) as client:
            client.wait_ready(timeout=120)
            console.print(f"[green]vecgate-server is serving on {address}[/] (its data: {HOME / 'data'})")
            yield client
    finally:
        server.terminate()
        server.wait(timeout=30)
        console.print("[dim]The server has stopped.[/]")


def serving_address(server: subprocess.Popen[str]) -> str:
    """Read the bound address from the server's first line, or end with its last words."""
    line = server.stdout.readline() if server.stdout else ""
    if not line:
        log = (HOME / "server.log").read_text().strip().splitlines()
        sys.exit(f"The server did not start: {log[-1] if log else 'it said nothing'}")
    return line.strip().rpartition(" ")[2]


def show_similarity(client: Client) -> None:
    """Encode a sentence, its paraphrase and a stranger."""
    texts = ["The cat sat on the mat.", "A feline rested on the rug.", "The central bank raised interest rates."]
    vectors = client.encode(texts, role="document").vectors
    cosines = vectors @ vectors[0]
    console.print(f"\n[bold]How near is each to “{texts[0]}”?[/]")
    for text, cosine in islice(zip(texts, cosines, strict=True), 1, None):
        console.print(f"  [green]{cosine:6.3f}[/]  {text}")
    console.print()


def index_corpus(client: Client) -> None:
    """Store the abstracts, unless an earlier run did."""
    client.create_collection(COLLECTION, exist_ok=True)
    records = list(read_corpus())
    if client.count(COLLECTION) == len(records):
        console.print(f"{len(records):,} abstracts are indexed already, by an earlier run.")
        return
    cut = 0
    columns = (TextColumn("Indexing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(records))
        for start in range(0, len(records), BATCH):
            batch = records[start : start + BATCH]
            result = client.upsert(COLLECTION, batch, truncation="truncate")
            result.raise_for_failures()
            cut += len(result.truncated)
            progress.advance(task, len(batch))
    console.print(
        f"{len(records):,} abstracts indexed; of {cut} the model read only the beginning, since it reads 256 tokens."
    )


def read_corpus() -> Iterator[Record]:
    """Read the abstracts with year, headings and decision as metadata."""
    with gzip.open(CORPUS, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            yield Record(id=row["_id"], text=row["text"], metadata=row["metadata"])


def show_matches(question: str, matches: Sequence[Match]) -> None:
    """Print ranked answers, a line each."""
    console.print(f"\n[bold]{question}[/]")
    for match in matches:
        heading = f"  {match.score:6.3f}  {match.metadata.get('year', '    ')}  "
        snippet = shorten(match.text or "", console.width - len(heading), placeholder="…")
        console.print(f"[green]{heading}[/]{escape(snippet)}")


def show_filtered_search(client: Client) -> None:
    """Search among a part of the records."""
    question = "Is surgery safe for children?"
    found = client.search(COLLECTION, question, top_k=3, filter=FILTER).matches
    show_matches(f"{question}  (only where {FILTER})", found)


def show_prompt(question: str, matches: Sequence[Match]) -> None:
    """Print a retrieval-augmented prompt of ten lines, ready for any language model."""
    excerpts = [
        f"[{rank}] PubMed {match.id}: {shorten(match.text or '', 400, placeholder='…')}"
        for rank, match in enumerate(matches, 1)
    ]
    lines = [
        "You answer questions about medicine from the abstracts below and from nothing else.",
        "",
        *excerpts,
        "",
        f"Question: {question}",
        "Answer in two sentences and name the abstracts you used, such as [1].",
        "If the abstracts do not answer the question, say so.",
        "Answer:",
    ]
    console.rule("A prompt for a language model, made from the hits")
    console.print("\n".join(lines), markup=False, soft_wrap=True)


def scores_by_id(answers: Sequence[Sequence[Match]]) -> list[dict[str, float]]:
    """Reduce answers to what must be the same after a restart."""
    return [{match.id: match.score for match in matches} for matches in answers]


def show_what_next() -> None:
    """Say what to type next."""
    console.rule("What to type next")
    config = (HOME / "vecgate.yaml").relative_to(REPOSITORY)
    console.print(
        f"""\
VECGATE_SERVER__PORT=50051 .venv/bin/vecgate-server --config {config} &
.venv/bin/vecgate search 'does coffee harm the heart?' --collection {COLLECTION}
.venv/bin/vecgate search 'knee surgery' --collection {COLLECTION} --filter 'year >= 2010' --json
.venv/bin/vecgate info
.venv/bin/vecgate --help""",
        markup=False,
        soft_wrap=True,
    )


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("Interrupted. What is indexed is kept; run the same command again.")
    except VecgateError as error:
        sys.exit(f"The demo stopped: {error}. The server's own words are in {HOME / 'server.log'}")
