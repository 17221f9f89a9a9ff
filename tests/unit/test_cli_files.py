"""Files on the command line: read row by row, refused with their line, written whole or not at all."""

from __future__ import annotations

import contextlib
import gc
import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecgate import Client, InvalidArgumentError, Record, Timestamp
from vecgate.cli.chunking import Chunker, ChunkOptions, chunker_for
from vecgate.cli.faults import InputFault
from vecgate.cli.row_readers import READERS, Row
from vecgate.cli.row_records import RowMapping, parse_metadata_fields
from vecgate.cli.sources import source
from vecgate.cli.token_counting import estimated_tokens
from vecgate.cli.vector_files import vector_writer

FORMATS = tuple(READERS)


def rows_of(path: Path, file_format: str | None = None) -> list[tuple[int, dict[str, Any]]]:
    return [(row.line, dict(row.values)) for row in source(str(path), file_format, FORMATS).rows()]


def test_json_lines_are_read_with_their_types_and_blank_lines_are_skipped(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('\ufeff{"id": "a", "n": 1, "x": 1.0, "tags": ["b"], "none": null}\n\n{"id": "b"}\n', "utf-8")
    assert rows_of(file) == [(1, {"id": "a", "n": 1, "x": 1.0, "tags": ["b"], "none": None}), (3, {"id": "b"})]


def test_csv_is_read_by_its_header_with_line_breaks_inside_of_quotes(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text('id,text\na,"two\nlines, and ""quotes"""\nb,\n', "utf-8")
    assert rows_of(file) == [(3, {"id": "a", "text": 'two\nlines, and "quotes"'}), (4, {"id": "b", "text": ""})]


def test_csv_takes_fields_of_any_length(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(f"id,text\na,{'x' * 200_000}\n")
    assert len(rows_of(file)[0][1]["text"]) == 200_000


def test_tsv_and_plain_lines_are_formats_too(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("id\ttext\na\tb\n")
    (tmp_path / "a.txt").write_text("first\r\n\nthird")
    assert rows_of(tmp_path / "a.tsv") == [(2, {"id": "a", "text": "b"})]
    assert rows_of(tmp_path / "a.txt") == [(1, {"text": "first"}), (2, {"text": ""}), (3, {"text": "third"})]


def test_gzip_is_read_by_its_suffix(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"id": "a"}\n'))
    assert rows_of(file) == [(1, {"id": "a"})]


@given(st.lists(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text()), max_size=5))
def test_whatever_json_writes_is_read(rows: list[dict[str, Any]]) -> None:
    from io import StringIO

    lines = StringIO("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), newline="")
    assert [dict(row.values) for row in READERS["jsonl"](lines, "a")] == rows


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"id": "a"}\n{"id": \n', "line 2 is not JSON"),
        ("a.jsonl", b'{"x": NaN}\n', "line 1 is not JSON: NaN is not JSON"),
        ("a.jsonl", b'{"id": "a"}\n{"id": x}\n', "line 2 is not JSON: Expecting value at column 8"),
        ("a.jsonl", b"[1, 2]\n", "line 1 is not a JSON object but list"),
        ("a.jsonl", b"[" * 100_000, "line 1 is not JSON"),
        ("a.jsonl", b'{"id": "a"}\n\xff\xfe\n', "not UTF-8 text"),
        ("a.jsonl.gz", b"no gzip", "damaged gzip data"),
        ("a.jsonl.gz", gzip.compress(b'{"id": "a"}\n' * 1000, mtime=0)[:-20], "damaged gzip data"),
        ("a.csv", b"", "empty"),
        ("a.csv", b"id,id\n", "column 'id' comes twice"),
        ("a.csv", b"id,text\na,b,c\n", "line 2 has 3 columns, the first line names 2"),
        ("a.csv", b'id,text\na,"b"c\n', "line 2 is not CSV"),
        ("a.txt", b"\0\1\2", "no text file"),
        ("a.pdf", b"", "the suffix '.pdf' tells no usable format"),
    ],
)
def test_a_file_that_cannot_be_used_names_the_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputFault, match=f"{name}.*{message}"):
        rows_of(tmp_path / name)


def test_json_that_is_not_a_line_an_object_is_told_what_is_expected(tmp_path: Path) -> None:
    for content in ('[{"id": "a"}]', '{\n  "id": "a"\n}\n'):
        (tmp_path / "a.json").write_text(content)
        with pytest.raises(InputFault) as refused:
            rows_of(tmp_path / "a.json")
        assert "one object a line" in refused.value.hint


@pytest.mark.parametrize(
    ("name", "word", "fault"),
    [
        ("a.csv", "date:int", "no field 'date'; there are 'id', 'text', 'year'"),
        ("a.csv", "year:integer", "'integer' is no type of metadata"),
        ("a.jsonl", "year:integer", "'integer' is no type of metadata"),
    ],
)
def test_a_metadata_field_that_would_keep_nothing_is_refused(tmp_path: Path, name: str, word: str, fault: str) -> None:
    mapping = RowMapping(metadata_fields=parse_metadata_fields([word]))
    with pytest.raises(InputFault, match=fault):
        mapping.check_first(Row(1, {"id": "a", "text": "b", "year": "1"}), source(str(tmp_path / name), None, FORMATS))


def test_a_metadata_field_that_only_some_rows_have_is_taken(tmp_path: Path) -> None:
    mapping = RowMapping(metadata_fields=parse_metadata_fields(["dc:title", "year:int"]))
    mapping.check_first(Row(1, {"id": "a", "text": "b"}), source(str(tmp_path / "a.jsonl"), None, FORMATS))


def record_of(values: dict[str, Any], *, empty_is_nothing: bool = False, **mapping: Any) -> Any:
    return RowMapping(**mapping).record(Row(1, values), empty_is_nothing=empty_is_nothing)


def test_everything_that_is_not_id_text_or_vector_becomes_metadata() -> None:
    record = record_of({"id": "a", "text": "t", "vector": [1.0], "year": 2000, "tags": ["x"], "none": None})
    assert (record.id, record.text, record.vector) == ("a", "t", [1.0])
    assert record.metadata == {"year": 2000, "tags": ["x"]}


def test_an_object_named_metadata_is_spread() -> None:
    record = record_of({"id": "a", "text": "t", "metadata": {"year": 2000, "none": None}, "title": "T"})
    assert record.metadata == {"year": 2000, "title": "T"}


def test_a_name_inside_and_outside_of_metadata_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="also stands outside"):
        record_of({"id": "a", "year": 1, "metadata": {"year": 2}})


def test_several_text_fields_are_joined_and_empty_ones_left_out() -> None:
    fields = ("title", "text")
    assert record_of({"id": "a", "title": "T", "text": "t"}, text_fields=fields).text == "T t"
    assert record_of({"id": "a", "title": "", "text": "t"}, text_fields=fields).text == "t"
    assert record_of({"id": "a", "title": "", "text": ""}, text_fields=fields).text == ""
    assert record_of({"id": "a"}, text_fields=fields).text is None


def test_a_single_text_field_is_left_as_it_is() -> None:
    assert record_of({"id": "a", "text": "  two  words "}).text == "  two  words "


def test_a_whole_number_is_an_id_and_a_fraction_is_not() -> None:
    assert record_of({"id": 7}).id == "7"
    for bad in (7.5, True, None, [1]):
        with pytest.raises(InvalidArgumentError, match="expected an id"):
            record_of({"id": bad})


def test_metadata_fields_take_a_type() -> None:
    wanted = parse_metadata_fields(["n:int", "x:float", "b:bool", "t:timestamp", "s:str", "a:b", "absent:int"])
    row = {"id": "a", "n": "7", "x": "1", "b": "Yes", "t": "2020-01-02T03:04:05.000000006+01:00", "s": 8, "a:b": "c"}
    metadata = record_of(row, metadata_fields=wanted).metadata
    assert metadata == {"n": 7, "x": 1.0, "b": True, "t": Timestamp(1577930645, 6), "s": "8", "a:b": "c"}
    assert isinstance(metadata["x"], float)


@pytest.mark.parametrize(
    ("word", "value"), [("n:int", "seven"), ("n:int", 7.5), ("n:bool", "maybe"), ("n:timestamp", "2020-01-02")]
)
def test_a_value_that_is_not_of_its_type_is_refused(word: str, value: object) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"^n: {value!r} is no {word.removeprefix('n:')}"):
        record_of({"id": "a", "n": value}, metadata_fields=parse_metadata_fields([word]))


def test_an_empty_cell_means_nothing_where_everything_is_text() -> None:
    row = {"id": "a", "text": "", "year": ""}
    record = record_of(row, empty_is_nothing=True)
    assert (record.text, record.metadata) == ("", {})
    assert record_of(row).metadata == {"year": ""}
    years = parse_metadata_fields(["year:int"])
    assert record_of(row, empty_is_nothing=True, metadata_fields=years).metadata == {}


@pytest.mark.parametrize("portions", [[3], [2, 5, 1]])
def test_a_numpy_file_holds_the_matrix(tmp_path: Path, portions: list[int]) -> None:
    matrix = np.random.default_rng(1).random((sum(portions), 4), dtype=np.float32)
    path = tmp_path / "out.npy"
    with vector_writer(path) as writer:
        for portion in np.split(matrix, np.cumsum(portions)[:-1]):
            writer.write(["id"] * len(portion), ["text"] * len(portion), portion)
    assert np.array_equal(np.load(path), matrix)
    assert [file.name for file in tmp_path.iterdir()] == ["out.npy"]


def test_a_numpy_file_without_vectors_can_be_loaded(tmp_path: Path) -> None:
    with vector_writer(tmp_path / "out.npy"):
        pass
    assert np.load(tmp_path / "out.npy").shape == (0, 0)


def test_a_parquet_file_holds_ids_texts_and_vectors_of_one_size(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")
    with vector_writer(tmp_path / "out.parquet") as writer:
        writer.write(["a"], ["x"], np.array([[1, 2]], np.float32))
        writer.write(["b"], ["y"], np.array([[3, 4]], np.float32))
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.to_pydict() == {"id": ["a", "b"], "text": ["x", "y"], "vector": [[1, 2], [3, 4]]}
    assert str(table.schema.field("vector").type).startswith("fixed_size_list<element: float>[2]")


def test_a_parquet_file_without_vectors_can_be_read(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")
    with vector_writer(tmp_path / "out.parquet"):
        pass
    assert parquet.read_table(tmp_path / "out.parquet").to_pydict() == {"id": [], "text": [], "vector": []}


def test_parquet_without_its_extra_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputFault, match="Parquet needs pyarrow") as refused, vector_writer(tmp_path / "out.parquet"):
        pass
    assert "vecgate[parquet]" in refused.value.hint
    assert list(tmp_path.iterdir()) == []


def test_what_was_begun_and_not_finished_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out.npy"
    path.write_bytes(b"old")
    with contextlib.suppress(KeyboardInterrupt), vector_writer(path) as writer:
        writer.write(["a"], ["x"], np.ones((1, 2), np.float32))
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["out.npy"]


def test_a_file_that_cannot_be_made_is_told_by_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "out.npy"
    with pytest.raises(FileNotFoundError) as refused, vector_writer(path):
        pass
    assert refused.value.filename == str(path)


@pytest.mark.parametrize("name", ["out.parquet", "out.jsonl", "out.npy"])
def test_what_was_given_up_leaves_nothing_and_says_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    with contextlib.suppress(KeyboardInterrupt), vector_writer(tmp_path / name) as writer:
        writer.write(["a"], ["x"], np.ones((1, 2), np.float32))
        raise KeyboardInterrupt
    del writer
    gc.collect()
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_an_output_of_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFault, match="tells no format"), vector_writer(tmp_path / "out.bin"):
        pass


def test_extras_are_loaded_where_they_are_needed_alone() -> None:
    program = "import sys, vecgate.cli.app; print({'pyarrow', 'semchunk', 'tokenizers', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("package", "size", "tokenizer", "words"),
    [("semchunk", 10, None, "vecgate[chunking]"), ("tokenizers", 10, Path("x"), "pip install tokenizers")],
)
def test_chunking_without_its_extras_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, package: str, size: int, tokenizer: Path | None, words: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with Client("localhost:1") as client, pytest.raises(InputFault) as refused:
        chunker_for(ChunkOptions(size, 0, tokenizer), client, None)
    assert words in refused.value.hint


@settings(deadline=None)
@given(st.text(max_size=400), st.integers(1, 30), st.integers(0, 10))
def test_pieces_cover_a_text_in_order_and_are_short_enough(text: str, size: int, overlap: int) -> None:
    pytest.importorskip("semchunk", reason="the extra chunking is not installed")
    pieces = Chunker(size, min(overlap, size - 1), estimated_tokens).pieces(Record("a", text))
    assert [piece.id for piece in pieces] == [f"a#{number}" for number in range(len(pieces))]
    spans = [(int(str(piece.metadata["chunk_start"])), int(str(piece.metadata["chunk_end"]))) for piece in pieces]
    assert all(text[start:end] == piece.text for (start, end), piece in zip(spans, pieces, strict=True))
    covered = {place for start, end in spans for place in range(start, end)}
    assert all(character.isspace() for place, character in enumerate(text) if place not in covered)
    assert all(estimated_tokens(piece.text or "") <= size for piece in pieces)
