"""Tables of the command line: whole on a narrow terminal, a line a row for other programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from rich.cells import cell_len

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


def test_a_row_is_one_line_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("a", "x" * 3_000, "line\nbreak\ttab"), ("b", "", "\x1b[31mred\x07\u2028end")]
    print_table(("id", "text", "metadata"), rows)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\x07" not in shown
    first, second = (line.split() for line in shown.splitlines() if line.split()[:1] in (["a"], ["b"]))
    assert first == ["a", "x" * 3_000, "line", "break", "tab"]
    assert second[1:] == ["\ufffd[31mred\ufffd", "end"]


def test_characters_of_two_columns_keep_the_columns_in_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "n"), [("日本語", 1), ("abc", 2), ("\U0001f600", 3)])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip() and line.split()[-1].isdigit()]
    assert len(lines) == 3
    assert {cell_len(line.rstrip()) for line in lines} == {cell_len(lines[0].rstrip())}


def test_json_is_utf_8_where_the_locale_is_not() -> None:
    program = "from vecgate.cli.display import print_json; print_json({'text': 'ü 日本'})"
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment, check=True, timeout=60)
    assert json.loads(done.stdout.decode()) == {"text": "ü 日本"}
