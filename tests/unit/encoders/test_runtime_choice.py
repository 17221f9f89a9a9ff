from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vecgate_server.encoders.base import Role
from vecgate_server.encoders.runtime_choice import load_runtime
from vecgate_server.encoders.settings import EncoderSettings, ModelSettings, RuntimeChoice
from vecgate_server.errors import ModelUnavailableError

TinyModel = Callable[..., Path]


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
