"""Retrieval-augmented generation: a question, the passages nearest to it, a prompt for any language model.

    python clients/python/examples/rag.py 'Does bathing make some infants faint?'

It needs a running `vecgate-server`. At the first run it indexes the abstracts of pubmedqa/ there. It prints the prompt; with
--llm it also sends it to an endpoint that speaks OpenAI's chat completions (OpenAI's own, vLLM, llama.cpp, Ollama, …):

    python clients/python/examples/rag.py --llm http://localhost:11434/v1 --llm-model llama3.2 'Do traffic laws reduce road deaths?'
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import click

from vecgate import DEFAULT_TARGET, Client, Match, Record, Rerank, VecgateError

CORPUS = Path(__file__).with_name("pubmedqa") / "corpus.jsonl.gz"
INSTRUCTIONS = (
    "Answer the question from the passages below and from nothing else. Name the passages you used, such as [1]. "
    "If they do not answer it, say so."
)
ANSWER_SECONDS = 120


class EndpointError(Exception):
    """The language model did not answer; the message says why."""


@click.command()
@click.argument("question")
@click.option("--target", envvar="VECGATE_TARGET", default=DEFAULT_TARGET, show_default=True, help="The server.")
@click.option("--collection", default="abstracts", show_default=True, help="Where the passages are.")
@click.option("--limit", type=click.IntRange(1), help="Index only so many abstracts; default: all 1,000.")
@click.option("--top-k", type=click.IntRange(1), default=4, show_default=True, help="Passages in the prompt.")
@click.option("--filter", "filter_", help="Only passages that match, such as 'year >= 2010'.")
@click.option("--rerank", metavar="MODEL", help="A cross-encoder of the server that judges the first 50 again.")
@click.option(
    "--context", type=click.IntRange(200), default=6_000, show_default=True, help="Characters of all passages."
)
@click.option("--llm", envvar="OPENAI_BASE_URL", metavar="URL", help="An endpoint for chat completions.")
@click.option("--llm-model", envvar="OPENAI_MODEL", default="gpt-4o-mini", show_default=True, help="Its model.")
@click.option("--llm-key", envvar="OPENAI_API_KEY", metavar="KEY", help="Its key; better in OPENAI_API_KEY.")
def main(
    question: str,
    target: str,
    collection: str,
    limit: int | None,
    top_k: int,
    filter_: str | None,
    rerank: str | None,
    context: int,
    llm: str | None,
    llm_model: str,
    llm_key: str | None,
) -> None:
    """Print a prompt for QUESTION, and an answer if an endpoint is named."""
    with Client(target) as client:
        index_corpus(client, collection, limit)
        found = client.search(
            collection, question, top_k=top_k, filter=filter_, rerank=None if rerank is None else Rerank(rerank)
        )
    if found.reranking is not None and not found.reranking.applied:
        click.echo(f"Not reranked: {found.reranking.reason}", err=True)
    messages = prompt(question, found.matches, context)
    for message in messages:
        click.echo(f"--- {message['role']}\n{message['content']}")
    if llm is not None:
        click.echo(f"--- answer of {llm_model}\n{complete(llm, llm_model, llm_key, messages)}")


def index_corpus(client: Client, collection: str, limit: int | None) -> None:
    """Store the abstracts, unless they are; texts longer than the model reads are cut for it, and kept whole."""
    client.create_collection(collection, exist_ok=True)
    if client.count(collection):
        return
    click.echo("Indexing the abstracts: a minute or two, the first time.", err=True)
    client.upsert(collection, islice(read_corpus(), limit), truncation="truncate").raise_for_failures()


def read_corpus() -> Iterator[Record]:
    """Read the abstracts with year, headings and decision as metadata."""
    with gzip.open(CORPUS, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            yield Record(id=row["_id"], text=row["text"], metadata=row["metadata"])


def prompt(question: str, matches: Sequence[Match], context: int) -> list[dict[str, str]]:
    """Make the messages of a chat.

    Args:
        question: the user's.
        matches: passages, nearest first.
        context: characters of all passages together; the last that fits in part is cut.
    """
    passages, left = [], context
    for rank, match in enumerate(matches, 1):
        text = (match.text or "")[:left]
        left -= len(text)
        if text:
            passages.append(f"[{rank}] PubMed {match.id}: {text}")
    return [
        {"role": "system", "content": INSTRUCTIONS},
        {"role": "user", "content": "\n\n".join([*passages, f"Question: {question}"])},
    ]


def complete(url: str, model: str, key: str | None, messages: list[dict[str, str]]) -> str:
    """Ask a language model.

    Args:
        url: of the endpoint, up to and with /v1.
        model: its name there.
        key: sent as a bearer token.
        messages: of the chat.

    Raises:
        EndpointError: there is no answer.
    """
    if not url.startswith(("http://", "https://")):
        raise EndpointError(f"--llm takes an address such as http://localhost:8000/v1, got {url!r}")
    headers = {"Content-Type": "application/json"} | ({} if key is None else {"Authorization": f"Bearer {key}"})
    body = json.dumps({"model": model, "messages": messages}).encode()
    request = Request(f"{url.rstrip('/')}/chat/completions", body, headers)  # noqa: S310  # the scheme is checked
    try:
        with urlopen(request, timeout=ANSWER_SECONDS) as response:  # noqa: S310  # likewise
            answer: Any = json.load(response)
        return str(answer["choices"][0]["message"]["content"])
    except HTTPError as refused:
        raise EndpointError(f"{url} answered {refused.code}: {refused.read(500).decode(errors='replace')}") from refused
    except (URLError, TimeoutError) as away:
        raise EndpointError(f"{url} did not answer: {getattr(away, 'reason', away)}") from away
    except (ValueError, LookupError, TypeError) as strange:
        raise EndpointError(f"{url} answered something else than a chat completion") from strange


if __name__ == "__main__":
    try:
        main()
    except VecgateError as error:
        sys.exit(f"error: {error}")
    except EndpointError as error:
        sys.exit(f"error: {error}")
