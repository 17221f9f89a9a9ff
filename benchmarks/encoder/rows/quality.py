"""Published measures of the default model, through the server, in fp32 and int8."""

from __future__ import annotations

from benchmarks.datasets import question_set, sentence_pairs
from benchmarks.encoder.bench import Bench
from benchmarks.encoder.rows.bulk import refuse_without_int8
from benchmarks.quality import ndcg_at_10, spearman
from benchmarks.result import Figure, Measured, Row, RowSkippedError, Verdict, at_least, figure
from vecgate import Client, Record

PUBLISHED_STSB = 82.03
STSB_TOLERANCE = 0.05


def measure(bench: Bench) -> Measured:
    """Measure STS-B and XQuAD (both English, test parts) for each precision class that the server has."""
    figures: list[Figure] = []
    verdicts: list[Verdict] = []
    notes: list[str] = []
    lines = ["| precision | STS-B English, Spearman | XQuAD English, nDCG@10 |", "| --- | --- | --- |"]
    for precision in ("fp32", "int8"):
        try:
            if precision == "int8":
                refuse_without_int8(bench)
        except RowSkippedError as error:
            notes.append(f"int8 left out: {error}")
            continue
        with bench.warm_server(precision=precision) as server, server.client() as client:
            similarity, retrieval = _spearman(bench, client), _ndcg(bench, client)
        figures += [
            figure(f"{precision}, STS-B, Spearman x 100", "", [similarity]),
            figure(f"{precision}, XQuAD, nDCG@10 x 100", "", [retrieval]),
        ]
        if precision == "fp32":
            verdicts.append(
                at_least("STS-B in fp32, published 82.03", "", [similarity], PUBLISHED_STSB - STSB_TOLERANCE)
            )
        lines.append(f"| {precision} | {similarity:.2f} | {retrieval:.2f} |")
    return Measured(tuple(figures), tuple(verdicts), tuple(notes), markdown=tuple(lines))


def _spearman(bench: Bench, client: Client) -> float:
    rated = sentence_pairs(bench.data)
    texts = sorted({sentence for pair in rated.pairs for sentence in pair})
    vectors = dict(zip(texts, client.encode(texts, "document").vectors, strict=True))
    return spearman([float(vectors[first] @ vectors[second]) for first, second in rated.pairs], rated.scores)


def _ndcg(bench: Bench, client: Client) -> float:
    asked = question_set(bench.data)
    client.create_collection("paragraphs")
    client.upsert("paragraphs", [Record(*document) for document in asked.documents.items()], truncation="truncate")
    answers = client.search_ids("paragraphs", list(asked.questions.values()), top_k=10)
    found = {name: list(answer.ids) for name, answer in zip(asked.questions, answers, strict=True)}
    return ndcg_at_10(found, asked.judgments)


ROW = Row("quality", "published quality of all-MiniLM-L6-v2, through the server", measure)
