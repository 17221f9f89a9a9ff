from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from vecgate_server.encoders import export, failed_exports
from vecgate_server.encoders.graph_cache import NoServedFormError, cached_form, export_in_child, make_served_form
from vecgate_server.encoders.served_form import ServedFormError, read_served_form
from vecgate_server.encoders.settings import Precision

# The exporter warns of itself and of every shape that a model looks at while it is traced.
pytestmark = pytest.mark.filterwarnings("ignore")

TinyModel = Callable[..., Path]


class CountedExporter:
    """Exports in this process; counts, can be held, and dies half-way on demand."""

    def __init__(self) -> None:
        self.exports = 0
        self.dies = False
        self.refuses = False
        self.may_export = threading.Event()
        self.may_export.set()

    def __call__(self, model: Path, directory: Path, precision: Precision) -> None:
        self.exports += 1
        assert self.may_export.wait(30)
        if self.dies:
            (directory / "model.onnx").write_bytes(b"half")
            raise ServedFormError("the exporter died")
        if self.refuses:
            raise NoServedFormError("the graph gives other vectors")
        export.export(model, directory, precision)


@pytest.fixture
def exporter() -> CountedExporter:
    return CountedExporter()


def test_a_form_is_made_once_and_found_again(tiny_model: TinyModel, tmp_path: Path, exporter: CountedExporter) -> None:
    first, again = (cached_form(tiny_model(), tmp_path, exporter=exporter) for _ in range(2))
    assert first == again
    assert exporter.exports == 1
    assert read_served_form(first).dimension == 32


@pytest.mark.parametrize("change", [{"seed": 1}, {"max_tokens": 12}, {"query_prompt": "query: "}, {"pooling": "cls"}])
def test_another_model_has_another_form(
    tiny_model: TinyModel, tmp_path: Path, exporter: CountedExporter, change: dict[str, object]
) -> None:
    forms = [cached_form(model, tmp_path, exporter=exporter) for model in (tiny_model(), tiny_model(**change))]
    assert forms[0] != forms[1]
    assert exporter.exports == 2


@pytest.mark.parametrize("name", ["model.onnx", "model.weights", "tokenizer.json", "served.json"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"x")], ids=["missing", "overwritten"])
def test_a_damaged_form_is_made_anew(
    tiny_model: TinyModel, tmp_path: Path, exporter: CountedExporter, name: str, damage: Callable[[Path], object]
) -> None:
    form = cached_form(tiny_model(), tmp_path, exporter=exporter)
    damage(form / name)
    assert cached_form(tiny_model(), tmp_path, exporter=exporter) == form
    assert exporter.exports == 2
    read_served_form(form)


def test_two_that_need_a_form_at_once_make_it_once(
    tiny_model: TinyModel, tmp_path: Path, exporter: CountedExporter
) -> None:
    exporter.may_export.clear()
    models = [tiny_model(), tiny_model()]
    with ThreadPoolExecutor(2) as pool:
        forms = [pool.submit(cached_form, model, tmp_path, exporter=exporter) for model in models]
        exporter.may_export.set()
        assert forms[0].result() == forms[1].result()
    assert exporter.exports == 1


def test_an_export_that_fails_leaves_nothing_and_is_tried_again(
    tiny_model: TinyModel, tmp_path: Path, exporter: CountedExporter
) -> None:
    exporter.dies = True
    with pytest.raises(ServedFormError, match="the exporter died"):
        cached_form(tiny_model(), tmp_path, exporter=exporter)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    exporter.dies = False
    read_served_form(cached_form(tiny_model(), tmp_path, exporter=exporter))


def test_a_model_that_has_no_form_is_refused_at_once_until_it_or_a_library_changes(
    tiny_model: TinyModel, tmp_path: Path, exporter: CountedExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter.refuses = True
    for _ in range(3):
        with pytest.raises(NoServedFormError, match="the graph gives other vectors"):
            cached_form(tiny_model(), tmp_path, exporter=exporter)
    assert exporter.exports == 1
    with pytest.raises(NoServedFormError):
        cached_form(tiny_model(seed=1), tmp_path, exporter=exporter)
    assert exporter.exports == 2
    monkeypatch.setattr(failed_exports, "LIBRARIES", ("onnxruntime",))
    exporter.refuses = False
    read_served_form(cached_form(tiny_model(), tmp_path, exporter=exporter))
    assert exporter.exports == 3


def test_a_note_that_was_damaged_or_removed_is_no_reason(
    tiny_model: TinyModel, tmp_path: Path, exporter: CountedExporter
) -> None:
    exporter.refuses = True
    for damage in (lambda note: note.write_text("{"), Path.unlink):
        with pytest.raises(NoServedFormError) as refused:
            cached_form(tiny_model(), tmp_path, exporter=exporter)
        assert "seen before" not in str(refused.value)
        with pytest.raises(NoServedFormError, match=r"seen before; .*\.failed\.json keeps it from being tried again"):
            cached_form(tiny_model(), tmp_path, exporter=exporter)
        [note] = tmp_path.glob("*.failed.json")
        damage(note)
    assert exporter.exports == 2


def test_each_precision_has_a_form_of_its_own(tiny_model: TinyModel, tmp_path: Path, exporter: CountedExporter) -> None:
    forms = {
        precision: read_served_form(cached_form(tiny_model(), tmp_path, precision, exporter=exporter))
        for precision in Precision
    }
    assert {form.precision for form in forms.values()} == set(Precision)
    assert len({form.fingerprint for form in forms.values()}) == 2
    assert exporter.exports == 2
    assert all(form.agreement.reaches(form.wanted) for form in forms.values())
    assert forms[Precision.FP32].wanted.cosine == 0.99999
    assert forms[Precision.INT8].wanted.cosine == 0.95


def test_what_a_killed_export_left_is_cleared_away(
    tiny_model: TinyModel, tmp_path: Path, exporter: CountedExporter
) -> None:
    (tmp_path / "served.partial").mkdir()
    (tmp_path / "served.partial" / "model.onnx").write_bytes(b"half")
    make_served_form(tiny_model(), tmp_path / "served", exporter=exporter)
    read_served_form(tmp_path / "served")
    assert [path.name for path in tmp_path.iterdir()] == ["served"]


def test_a_cache_that_cannot_be_written_is_told(
    tiny_model: TinyModel, tmp_path: Path, exporter: CountedExporter
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServedFormError, match="cannot be made or kept: NotADirectoryError"):
        cached_form(tiny_model(), tmp_path / "file" / "graphs", exporter=exporter)
    assert exporter.exports == 0


def test_the_child_process_tells_why_it_refuses(tiny_model: TinyModel, tmp_path: Path) -> None:
    model = tiny_model()
    path = model / "tokenizer_config.json"
    # The fused layers take it that padding stands at the end.
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"padding_side": "left"}), "utf-8")
    with pytest.raises(NoServedFormError, match="the export ended with 1: the graph does not give what torch gives"):
        export_in_child(model, tmp_path, Precision.FP32)


def test_an_export_that_was_called_wrongly_is_no_fault_of_the_model(tiny_model: TinyModel, tmp_path: Path) -> None:
    unknown: Any = "fp16"
    with pytest.raises(ServedFormError, match=r"the export ended with 2: .*invalid") as failed:
        export_in_child(tiny_model(), tmp_path, unknown)
    assert not isinstance(failed.value, NoServedFormError)
