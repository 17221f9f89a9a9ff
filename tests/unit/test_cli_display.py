"""Tables of the command line: whole on a narrow terminal, a line a row for other programs."""

from __future__ import annotations

import sys

import pytest

from vecgate.cli.display import print_table

COLUMNS = ("name", "model", "created", "text")
ROW = ("docs", "distiluse-base-multilingual-cased", "2024-01-01T00:00:00Z", "some words and more of them")


def test_names_stay_whole_and_no_column_is_left_out_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table(COLUMNS, [ROW])
    shown = capsys.readouterr().out
    for word in (*COLUMNS, *ROW[:3], *ROW[3].split()):
        assert word in shown


def test_a_row_is_one_line_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    row = ("docs", "model", "2024-01-01T00:00:00Z", "word " * 60 + "end")
    print_table(COLUMNS, [row])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "docs" in line]
    assert line.rstrip().endswith("end")


def test_what_is_not_known_is_left_blank(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "dimension"), [("a", 384), ("b", None)])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["a", "384"] in lines
    assert ["b"] in lines
