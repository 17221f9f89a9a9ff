from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vecgate_server.encoders import sentence_transformers
from vecgate_server.encoders.base import ModelKind, Role
from vecgate_server.encoders.export import export
from vecgate_server.encoders.locate import ModelLocation
from vecgate_server.encoders.model_files import is_complete
from vecgate_server.encoders.onnx_runtime import OnnxRuntime, load
from vecgate_server.encoders.settings import Precision
from vecgate_server.encoders.torch_runtime import TorchRuntime
from vecgate_server.errors import ModelUnavailableError

# The exporter warns of itself and of every shape that a model looks at while it is traced.
pytestmark = pytest.mark.filterwarnings("ignore")

TinyModel = Callable[..., Path]

QUERIES = ["", "cat", "the cat sat on the mat", "feline house " * 40]
KINDS = [{"activation": "Sigmoid"}, {"activation": "Identity"}, {"prompt": "query : "}, {"plain": True}]


def _in_torch(model: Path) -> TorchRuntime:
    return sentence_transformers.load(ModelLocation(model, "test"), "tiny")


def _served(model: Path, precision: Precision = Precision.FP32) -> OnnxRuntime:
    directory = model.with_name(f"served-{precision}")
    directory.mkdir()
    export(model, directory, precision)
    return load(directory, "tiny", source="test")


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_scores_are_those_of_predict(tiny_cross_encoder: TinyModel, texts: list[str], kind: dict[str, object]) -> None:
    from sentence_transformers import CrossEncoder

    model = tiny_cross_encoder(**kind)
    reference = CrossEncoder(str(model), device="cpu")
    runtimes: list[TorchRuntime | OnnxRuntime] = [_in_torch(model), _served(model)]
    for query in QUERIES:
        expected = reference.predict([(query, text) for text in texts])
        assert np.ptp(expected) > 0.01
        for runtime in runtimes:
            tokenized = runtime.tokenizer.tokenize_pairs(query, texts)
            together = runtime.forward(tokenized, Role.QUERY)
            alone = np.concatenate([runtime.forward([pair], Role.QUERY) for pair in tokenized])
            assert together.dtype == np.float32
            assert together.shape == (len(texts), 1)
            np.testing.assert_allclose(together[:, 0], expected, atol=1e-5)
            np.testing.assert_allclose(alone[:, 0], expected, atol=1e-5)


def test_the_served_form_is_described_as_the_model_in_torch(tiny_cross_encoder: TinyModel) -> None:
    model = tiny_cross_encoder(prompt="query : ")
    in_torch, served = _in_torch(model).description, _served(model).description
    assert (in_torch.kind, in_torch.dimension, in_torch.max_tokens) == (ModelKind.CROSS_ENCODER, 1, 16)
    assert in_torch.query_prompt == "query : "
    assert served.runtime_reason.startswith("ONNX Runtime ")
    assert "fp32, scores differ from torch's by at most" in served.runtime_reason
    assert replace(served, runtime="torch", runtime_reason="") == in_torch


def test_an_int8_form_scores_nearly_alike_and_has_a_fingerprint_of_its_own(
    tiny_cross_encoder: TinyModel, texts: list[str]
) -> None:
    model = tiny_cross_encoder()
    exact: TorchRuntime | OnnxRuntime = _in_torch(model)
    small = _served(model, Precision.INT8)
    assert small.description.precision is Precision.INT8
    assert small.description.fingerprint != exact.description.fingerprint
    tokenized = exact.tokenizer.tokenize_pairs("the cat", texts)
    scores, expected = (runtime.forward(tokenized, Role.QUERY) for runtime in (small, exact))
    assert 0 < np.abs(scores - expected).max() < 0.1


def test_weights_activation_length_and_precision_make_the_fingerprint(tiny_cross_encoder: TinyModel) -> None:
    model = tiny_cross_encoder()
    prints = [_in_torch(model).description.fingerprint]
    prints.append(_in_torch(tiny_cross_encoder(activation="Identity")).description.fingerprint)
    prints.append(
        sentence_transformers.load(
            ModelLocation(model, "test"), "tiny", precision=Precision.INT8
        ).description.fingerprint
    )
    settings = model / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text("utf-8")) | {"model_max_length": 15}), "utf-8")
    prints.append(_in_torch(model).description.fingerprint)
    assert len(set(prints)) == 4
    assert _in_torch(tiny_cross_encoder()).description.fingerprint == prints[0]


def test_several_labels_are_refused(tiny_cross_encoder: TinyModel) -> None:
    with pytest.raises(
        ModelUnavailableError, match="gives 3 labels for a pair; served are cross-encoders that give one"
    ):
        _in_torch(tiny_cross_encoder(labels=3, activation="Identity"))


@pytest.mark.parametrize("plain", [False, True])
def test_a_directory_without_its_weights_is_not_complete(tiny_cross_encoder: TinyModel, *, plain: bool) -> None:
    model = tiny_cross_encoder(plain=plain)
    assert is_complete(model)
    (model / "model.safetensors").unlink()
    assert not is_complete(model)


def test_the_tokenizer_of_a_cross_encoder_can_be_pickled(tiny_cross_encoder: TinyModel, texts: list[str]) -> None:
    tokenizer = _in_torch(tiny_cross_encoder()).tokenizer
    copy = pickle.loads(pickle.dumps(tokenizer))  # it was made here
    for ours, theirs in zip(copy.tokenize_pairs("cat", texts), tokenizer.tokenize_pairs("cat", texts), strict=True):
        assert ours.token_ids.tolist() == theirs.token_ids.tolist()
        assert ours.type_ids.tolist() == theirs.type_ids.tolist()
        assert ours.counted == theirs.counted
