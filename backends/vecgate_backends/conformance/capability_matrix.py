"""The table of what each backend can do, in Markdown: its capabilities, and the gaps that the suite knows of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType

from vecgate_backends.conformance.case import Case
from vecgate_backends.contract import Capabilities
from vecgate_backends.records import Metric

BEGIN = "<!-- capability matrix: written by `make matrix`, not by hand -->"
END = "<!-- end of the capability matrix -->"


def _yes(value: object) -> str:
    return "yes" if value else "no"


def _metrics(metrics: frozenset[Metric]) -> str:
    return "all" if metrics == frozenset(Metric) else ", ".join(sorted(metrics)) or "none"


def _kinds(kinds: frozenset[str]) -> str:
    return ", ".join(sorted(kinds)) or "its own"


ROWS: Mapping[str, tuple[str, Callable[..., str]]] = MappingProxyType(
    {
        "metrics": ("metrics (cosine, dot, euclidean)", _metrics),
        "max_dimension": ("largest dimension", "{:,}".format),
        "index_kinds": ("index kinds", _kinds),
        "durable": ("survives a restart", _yes),
        "searchable_on_write": ("searchable when a write returns", _yes),
        "exact_search": ("exact search on request", _yes),
        "consistency_tokens": ("reads of one's own writes by token", _yes),
        "filtered_writes": ("update and delete by filter", _yes),
        "field_stats": ("field statistics", _yes),
        "encoding_stamps": ("unchanged text is not encoded again", _yes),
        "index_updates": ("the index can be changed later", _yes),
    }
)
"""Field of Capabilities → the row's name, and how its value is written."""


class MatrixError(Exception):
    """A document has no place for the matrix, or not this one."""


def capability_matrix(columns: Sequence[tuple[Case, Capabilities]]) -> str:
    """Return the table, a column for each case, and below it a line for each gap."""
    cases = [case for case, _ in columns]
    lines = [_row("", [case.title for case in cases]), _row("---", ["---"] * len(cases))]
    for field in fields(Capabilities):
        name, written = ROWS[field.name]
        lines.append(_row(name, [written(getattr(able, field.name)) for _, able in columns]))
    lines.append(_row("[conformance suite](docs/backends.md#what-the-suite-asserts)", [_holds(case) for case in cases]))
    gaps = [
        f"- {case.title}, `{test}`: {gap.kind}, {gap.reason}"
        for case in cases
        for test, gap in sorted(case.gaps.items())
    ]
    return "\n".join([*lines, *([""] if gaps else []), *gaps])


def write_matrix(document: Path, matrix: str) -> None:
    """Put the matrix between the marks of a document.

    Raises:
        MatrixError: it has no marks.
    """
    before, _, after = _parts(document)
    document.write_text(f"{before}{BEGIN}\n{matrix}\n{END}{after}", encoding="utf-8")


def check_matrix(document: Path, matrix: str) -> None:
    """Insist that a document holds this matrix.

    Raises:
        MatrixError: it holds another one, or has no marks.
    """
    if _parts(document)[1].strip() != matrix:
        raise MatrixError(f"the capability matrix in {document} is not what the cases say:\n{matrix}")


def _parts(document: Path) -> tuple[str, str, str]:
    before, begin, rest = document.read_text(encoding="utf-8").partition(BEGIN)
    inside, end, after = rest.partition(END)
    if not (begin and end):
        raise MatrixError(f"{document} lacks the lines\n{BEGIN}\n{END}")
    return before, inside, after


def _row(name: str, cells: Sequence[str]) -> str:
    return f"| {' | '.join([name, *cells])} |"


def _holds(case: Case) -> str:
    return f"all but {len(case.gaps)} tests" if case.gaps else "all tests"
