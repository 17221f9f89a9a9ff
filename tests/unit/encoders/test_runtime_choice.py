from __future__ import annotations

import json
import logging
import shutil
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecgate_server.encoders.base import ModelKind, Role
from vecgate_server.encoders.runtime_choice import load_runtime
from vecgate_server.encoders.settings import EncoderSettings, ModelSettings, Precision, RuntimeChoice
from vecgate_server.errors import ModelUnavailableError

TinyModel = Callable[..., Path]

# The exporter warns of itself and of every shape that a model looks at while it is traced.
traced = pytest.mark.filterwarnings("ignore")


def _make_graph(model: Path, graph_directory: Path, precision: Precision = Precision.FP32) -> Path:
    """Make a graph in this process, which is faster than in a child and found just the same."""
    from vecgate_server.encoders.export import export
    from vecgate_server.encoders.graph_cache import cached_form

    return cached_form(model, graph_directory, precision, exporter=export)


@pytest.fixture(scope="module")
def model(tiny_model: TinyModel) -> ModelSettings:
    return ModelSettings("tiny", tiny_model())


@pytest.fixture
def no_graphs(tmp_path: Path) -> Path:
    """A graph directory that cannot be made."""
    (tmp_path / "file").touch()
    return tmp_path / "file" / "graphs"


def test_a_model_runs_on_onnx_runtime_and_gives_what_torch_gives(
    model: ModelSettings, graph_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first load makes the graph in a child process.
    load_runtime(model, EncoderSettings(graph_directory=graph_directory))
    in_torch = load_runtime(model, EncoderSettings(runtime=RuntimeChoice.TORCH))
    # The second one has it, and needs no torch.
    for module in ("torch", "transformers", "sentence_transformers", "onnx"):
        monkeypatch.setitem(sys.modules, module, None)
    served = load_runtime(model, EncoderSettings(graph_directory=graph_directory, runtime=RuntimeChoice.ONNX))
    monkeypatch.undo()
    assert (served.description.runtime, in_torch.description.runtime) == ("onnx", "torch")
    assert in_torch.description.runtime_reason == "encoder.runtime is torch"
    assert served.description.fingerprint == in_torch.description.fingerprint
    assert served.description.source == in_torch.description.source
    ours, theirs = (
        runtime.forward(runtime.tokenizer.tokenize(["the cat", "a"], Role.QUERY), Role.QUERY)
        for runtime in (served, in_torch)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_a_model_without_a_graph_runs_on_torch_and_says_why(
    model: ModelSettings, no_graphs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        description = load_runtime(model, EncoderSettings(graph_directory=no_graphs)).description
    assert description.runtime == "torch"
    assert "the graph cannot be made or kept: NotADirectoryError" in description.runtime_reason
    assert caplog.messages == [f"model tiny runs on torch: {description.runtime_reason}"]


def test_without_onnx_runtime_a_model_runs_on_torch_and_says_why(
    model: ModelSettings, graph_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "vecgate_server.encoders.onnx_runtime", raising=False)
    monkeypatch.delattr("vecgate_server.encoders.onnx_runtime", raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    description = load_runtime(model, EncoderSettings(graph_directory=graph_directory)).description
    assert description.runtime == "torch"
    assert "onnxruntime" in description.runtime_reason


def test_onnx_is_refused_to_a_model_without_a_graph(model: ModelSettings, no_graphs: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="tiny does not run on ONNX Runtime: the graph cannot be made"):
        load_runtime(model, EncoderSettings(runtime=RuntimeChoice.ONNX, graph_directory=no_graphs))


@pytest.fixture(scope="module")
def served_form(model: ModelSettings, graph_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a served form, somewhere else than in the cache."""
    from vecgate_server.encoders.graph_cache import cached_form

    assert model.path is not None
    copy = tmp_path_factory.mktemp("image") / "tiny"
    return Path(shutil.copytree(cached_form(model.path, graph_directory), copy))


def test_a_path_may_lead_to_a_served_form(
    model: ModelSettings, served_form: Path, no_graphs: Path, graph_directory: Path
) -> None:
    served = load_runtime(ModelSettings("mine", served_form), EncoderSettings(graph_directory=no_graphs)).description
    assert (served.name, served.runtime, served.source) == ("mine", "onnx", f"path {served_form}")
    made = load_runtime(model, EncoderSettings(graph_directory=graph_directory)).description
    assert served.fingerprint == made.fingerprint


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        (EncoderSettings(runtime=RuntimeChoice.TORCH), "needs ONNX Runtime, but encoder.runtime is torch"),
        (EncoderSettings(device="cuda"), "needs ONNX Runtime, but encoder.device is cuda"),
    ],
)
def test_a_served_form_runs_on_nothing_else(served_form: Path, settings: EncoderSettings, fault: str) -> None:
    with pytest.raises(ModelUnavailableError, match=fault):
        load_runtime(ModelSettings("mine", served_form), settings)


def test_a_damaged_served_form_is_one_clear_sentence(served_form: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(served_form, tmp_path / "copy"))
    (copy / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelUnavailableError, match=r"^model mine: .* is damaged: model.onnx changed"):
        load_runtime(ModelSettings("mine", copy), EncoderSettings())


def test_a_served_form_without_its_runtime_names_the_extra(served_form: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "vecgate_server.encoders.onnx_runtime", raising=False)
    monkeypatch.delattr("vecgate_server.encoders.onnx_runtime", raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelUnavailableError, match=r"pip install 'vecgate\[onnx\]'"):
        load_runtime(ModelSettings("mine", served_form), EncoderSettings())


@pytest.fixture(scope="module")
def served_int8(model: ModelSettings, graph_directory: Path) -> Path:
    """The directory of a served form in int8."""
    assert model.path is not None
    with warnings.catch_warnings(action="ignore"):
        return _make_graph(model.path, graph_directory, Precision.INT8)


@pytest.mark.parametrize("asked_by", ["entry", "encoder"])
def test_int8_runs_on_onnx_runtime_and_is_no_fp32(
    model: ModelSettings, graph_directory: Path, served_int8: Path, asked_by: str
) -> None:
    entry = replace(model, precision=Precision.INT8) if asked_by == "entry" else model
    settings = EncoderSettings(
        graph_directory=graph_directory, precision=Precision.INT8 if asked_by == "encoder" else Precision.FP32
    )
    runtime = load_runtime(entry, settings)
    assert runtime.description.precision is Precision.INT8
    assert ", int8, cosine to torch at least 0.9" in runtime.description.runtime_reason
    exact = load_runtime(model, EncoderSettings(graph_directory=graph_directory))
    assert runtime.description.fingerprint != exact.description.fingerprint
    tokenized = exact.tokenizer.tokenize(["the cat sat on the mat"], Role.QUERY)
    ours, theirs = (each.forward(tokenized, Role.QUERY) for each in (runtime, exact))
    assert 1e-5 < np.abs(ours - theirs).max() < 0.1


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"runtime": RuntimeChoice.TORCH}, "encoder.runtime is torch"),
        ({"device": "cuda"}, "encoder.device is cuda"),
        ({}, "the graph cannot be made or kept: NotADirectoryError"),
    ],
)
def test_int8_is_never_replaced_by_torch(
    model: ModelSettings, no_graphs: Path, settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ModelUnavailableError, match=f"tiny does not run in int8, which torch does not do: {reason}"):
        load_runtime(replace(model, precision=Precision.INT8), EncoderSettings(graph_directory=no_graphs, **settings))


def test_a_served_form_keeps_the_precision_that_it_was_made_in(served_form: Path, served_int8: Path) -> None:
    small = load_runtime(ModelSettings("mine", served_int8), EncoderSettings()).description
    assert small.precision is Precision.INT8
    for path, precision in ((served_form, Precision.FP32), (served_int8, Precision.INT8)):
        assert (
            load_runtime(ModelSettings("mine", path, precision), EncoderSettings()).description.precision is precision
        )


@pytest.mark.parametrize("asked_by", ["entry", "encoder"])
def test_a_served_form_in_another_precision_than_asked_for_is_refused(
    served_form: Path, served_int8: Path, asked_by: str
) -> None:
    with pytest.raises(ModelUnavailableError, match=r"a served form in fp32, but int8 is asked for; export it with"):
        load_runtime(
            ModelSettings("mine", served_form, Precision.INT8 if asked_by == "entry" else None),
            EncoderSettings(precision=Precision.INT8 if asked_by == "encoder" else Precision.FP32),
        )
    with pytest.raises(ModelUnavailableError, match="a served form in int8, but fp32 is asked for"):
        load_runtime(ModelSettings("mine", served_int8, Precision.FP32), EncoderSettings())


@traced
def test_shorter_lengths_are_those_of_the_model_and_of_the_settings(
    tiny_model: TinyModel, graph_directory: Path
) -> None:
    path = tiny_model()
    config = path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text("utf-8")) | {"matryoshka_dimensions": [32, 16, 8]}))
    _make_graph(path, graph_directory)
    for runtime in (RuntimeChoice.TORCH, RuntimeChoice.ONNX):
        settings = EncoderSettings(runtime=runtime, graph_directory=graph_directory)
        alone = load_runtime(ModelSettings("tiny", path), settings).description
        assert alone.matryoshka_dimensions == (8, 16)
        joined = load_runtime(ModelSettings("tiny", path, matryoshka_dimensions=(24, 8)), settings).description
        assert joined.matryoshka_dimensions == (8, 16, 24)
        with pytest.raises(
            ModelUnavailableError, match=r"has 32 dimensions; its matryoshka_dimensions must be smaller"
        ):
            load_runtime(ModelSettings("tiny", path, matryoshka_dimensions=(8, 32)), settings)


def test_a_model_that_declares_no_lengths_but_something_else_is_refused(tiny_model: TinyModel) -> None:
    path = tiny_model()
    config = path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text("utf-8")) | {"matryoshka_dimensions": ["short"]}))
    with pytest.raises(ModelUnavailableError, match=r"its matryoshka_dimensions are not lengths: \['short'\]"):
        load_runtime(ModelSettings("tiny", path), EncoderSettings(runtime=RuntimeChoice.TORCH))


@traced
def test_a_cross_encoder_is_loaded_as_one_and_has_no_vectors_to_cut(
    tiny_cross_encoder: TinyModel, graph_directory: Path
) -> None:
    path = tiny_cross_encoder(plain=True)
    _make_graph(path, graph_directory)
    runtime = load_runtime(ModelSettings("ranks", path), EncoderSettings(graph_directory=graph_directory))
    assert (runtime.description.kind, runtime.description.runtime) == (ModelKind.CROSS_ENCODER, "onnx")
    assert runtime.concurrent
    pairs = runtime.tokenizer.tokenize_pairs("cat", ["mat", "the cat"])
    assert runtime.forward(pairs, Role.QUERY).shape == (2, 1)
    with pytest.raises(ModelUnavailableError, match="ranks is a cross-encoder: it has no vectors"):
        load_runtime(
            ModelSettings("ranks", path, matryoshka_dimensions=(8,)), EncoderSettings(runtime=RuntimeChoice.TORCH)
        )


@traced
def test_a_model_saved_with_a_shorter_length_gives_vectors_of_that_length(
    tiny_model: TinyModel, graph_directory: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    path = tiny_model()
    SentenceTransformer(str(path), device="cpu", truncate_dim=8).save_pretrained(str(path), create_model_card=False)
    expected = SentenceTransformer(str(path), device="cpu").encode(["the cat", "a mat"])
    _make_graph(path, graph_directory)
    for choice in (RuntimeChoice.TORCH, RuntimeChoice.ONNX):
        runtime = load_runtime(
            ModelSettings("tiny", path), EncoderSettings(runtime=choice, graph_directory=graph_directory)
        )
        assert (runtime.description.dimension, runtime.description.normalized) == (8, False)
        tokenized = runtime.tokenizer.tokenize(["the cat", "a mat"], Role.DOCUMENT)
        np.testing.assert_allclose(runtime.forward(tokenized, Role.DOCUMENT), expected, atol=1e-6)
