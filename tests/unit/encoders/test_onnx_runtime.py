from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from vecgate_server.encoders import export_process, sentence_transformers
from vecgate_server.encoders.base import Role
from vecgate_server.encoders.export import export
from vecgate_server.encoders.locate import ModelLocation
from vecgate_server.encoders.onnx_runtime import load, open_graph
from vecgate_server.encoders.served_form import ServedFormError
from vecgate_server.errors import ModelUnavailableError

# The exporter warns of itself and of every shape that a model looks at while it is traced.
pytestmark = pytest.mark.filterwarnings("ignore")

Reference = Callable[[Path, Sequence[str], Role], NDArray[np.float32]]
TinyModel = Callable[..., Path]


def _exported(model: Path) -> Path:
    directory = model.with_name("served")
    directory.mkdir()
    export(model, directory)
    return directory


@pytest.fixture(scope="session")
def served_bert(tiny_model: TinyModel) -> Path:
    return _exported(tiny_model())


@pytest.fixture
def copy_of_served_bert(served_bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(served_bert, tmp_path / "served"))


def test_vectors_are_those_of_sentence_transformers(architecture: Path, texts: list[str], reference: Reference) -> None:
    runtime = load(_exported(architecture), "tiny", source="test")
    for role in Role:
        tokenized = runtime.tokenizer.tokenize(texts, role)
        together = runtime.forward(tokenized, role)
        alone = np.concatenate([runtime.forward([text], role) for text in tokenized])
        expected = reference(architecture, texts, role)
        assert together.dtype == np.float32
        np.testing.assert_allclose(together, expected, atol=1e-6)
        np.testing.assert_allclose(alone, expected, atol=1e-6)


def test_tokens_and_description_are_those_of_the_model_in_torch(architecture: Path, texts: list[str]) -> None:
    in_torch = sentence_transformers.load(ModelLocation(architecture, "test"), "tiny")
    served = load(_exported(architecture), "tiny", source="test")
    for role in Role:
        for ours, theirs in zip(
            served.tokenizer.tokenize(texts, role), in_torch.tokenizer.tokenize(texts, role), strict=True
        ):
            assert ours.token_ids.tolist() == theirs.token_ids.tolist()
            assert ours.counted == theirs.counted
    assert served.description.runtime == "onnx"
    assert served.description.runtime_reason.startswith("ONNX Runtime ")
    alike = replace(served.description, runtime="torch", runtime_reason="")
    assert alike == in_torch.description


def test_what_runs_is_fused_except_where_the_fused_kernel_is_slow(
    served_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what_runs = tmp_path / "what_runs.onnx"

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(what_runs)
    options.log_severity_level = 3  # it warns that the file is for this machine alone
    monkeypatch.setattr(onnxruntime, "SessionOptions", lambda: options)
    open_graph(served_bert / "model.onnx")
    operators = {node.op_type for node in onnx.load(what_runs, load_external_data=False).graph.node}
    assert {"Attention", "BiasGelu", "EmbedLayerNormalization", "LayerNormalization"} <= operators
    assert "SkipLayerNormalization" not in operators


def test_loading_imports_nothing_that_made_the_model(served_bert: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from vecgate_server.encoders.base import Role; "
        "from vecgate_server.encoders.onnx_runtime import load; runtime = load(Path(sys.argv[1]), 'tiny', source='test'); "
        "runtime.forward(runtime.tokenizer.tokenize(['cat'], Role.QUERY), Role.QUERY); "
        "print(sorted({'torch', 'sentence_transformers', 'transformers', 'onnx'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, served_bert], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["model.onnx", "model.weights", "tokenizer.json"])
def test_a_file_that_changed_is_refused(copy_of_served_bert: Path, name: str) -> None:
    path = copy_of_served_bert / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ServedFormError, match=f"is damaged: {name} changed"):
        load(copy_of_served_bert, "tiny", source="test")


@pytest.mark.parametrize("name", ["model.onnx", "model.weights", "tokenizer.json", "served.json"])
def test_a_file_that_is_missing_is_told(copy_of_served_bert: Path, name: str) -> None:
    (copy_of_served_bert / name).unlink()
    with pytest.raises(ServedFormError, match=name):
        load(copy_of_served_bert, "tiny", source="test")


@pytest.mark.parametrize(
    ("change", "fault"),
    [({"format": 1}, "version 1 of the served form; this one reads 2"), ({"dimension": "many"}, "cannot be read")],
)
def test_settings_that_this_version_does_not_know_are_refused(
    copy_of_served_bert: Path, change: dict[str, object], fault: str
) -> None:
    path = copy_of_served_bert / "served.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | change), "utf-8")
    with pytest.raises(ServedFormError, match=fault):
        load(copy_of_served_bert, "tiny", source="test")


def test_a_graph_that_gives_other_vectors_is_refused(tiny_model: TinyModel, tmp_path: Path) -> None:
    model = tiny_model()
    path = model / "tokenizer_config.json"
    # The fused layers take it that padding stands at the end.
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"padding_side": "left"}), "utf-8")
    with pytest.raises(ModelUnavailableError, match="the graph does not give what torch gives: cosine down to"):
        export(model, tmp_path)
    assert not (tmp_path / "served.json").exists()


def test_the_process_that_exports_ends_with_1_and_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        export_process.main([str(tmp_path), str(tmp_path), "fp32"])
    assert ended.value.code == 1
    assert "cannot be loaded" in capsys.readouterr().err.splitlines()[-1]


def test_the_process_that_exports_ends_with_4_where_the_machine_is_to_blame(
    tiny_model: TinyModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as ended:
        export_process.main([str(tiny_model()), str(tmp_path / "file"), "fp32"])
    assert ended.value.code == 4
    assert "NotADirectoryError" in capsys.readouterr().err.splitlines()[-1]


def test_the_process_that_exports_ends_with_the_one_that_asked(tiny_model: TinyModel, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vecgate_server.encoders.export_process", str(tiny_model()), str(tmp_path), "fp32"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(60) == 3
    assert not list(tmp_path.iterdir())
