from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vecgate_server.encoders import sentence_transformers
from vecgate_server.encoders.base import Role
from vecgate_server.encoders.export import export
from vecgate_server.encoders.locate import ModelLocation
from vecgate_server.encoders.model_files import is_complete
from vecgate_server.encoders.onnx_runtime import load
from vecgate_server.encoders.settings import Precision
from vecgate_server.encoders.torch_runtime import TorchRuntime
from vecgate_server.errors import ModelUnavailableError

# The exporter warns of itself and of every shape that a model looks at while it is traced.
pytestmark = pytest.mark.filterwarnings("ignore")

TinyModel = Callable[..., Path]
Reference = Callable[[Path, Sequence[str], Role], NDArray[np.float32]]


def _in_torch(model: Path) -> TorchRuntime:
    return sentence_transformers.load(ModelLocation(model, "test"), "tiny")


def _export(model: Path, precision: Precision = Precision.FP32) -> Path:
    directory = model.with_name("served")
    directory.mkdir()
    export(model, directory, precision)
    return directory


@pytest.mark.parametrize("kind", [{}, {"dense": 24, "normalize": False}, {"cut_at": 9}], ids=str)
def test_vectors_are_those_of_sentence_transformers(
    tiny_static: TinyModel, texts: list[str], reference: Reference, kind: dict[str, object]
) -> None:
    model = tiny_static(**kind)
    for runtime in (_in_torch(model), load(_export(model), "tiny", source="test")):
        for role in Role:
            expected = reference(model, texts, role)
            tokenized = runtime.tokenizer.tokenize(texts, role)
            np.testing.assert_allclose(runtime.forward(tokenized, role), expected, atol=1e-5)
            alone = np.concatenate([runtime.forward([text], role) for text in tokenized])
            np.testing.assert_allclose(alone, expected, atol=1e-5)


def test_a_text_without_tokens_has_the_zero_vector(tiny_static: TinyModel) -> None:
    model = tiny_static()
    for runtime in (_in_torch(model), load(_export(model), "tiny", source="test")):
        tokenized = runtime.tokenizer.tokenize(["", " "], Role.DOCUMENT)
        assert [len(text) for text in tokenized] == [0, 0]
        np.testing.assert_array_equal(runtime.forward(tokenized, Role.DOCUMENT), np.zeros((2, 32)))


def test_a_text_of_a_megabyte_is_counted_as_too_long_from_a_part_of_it(tiny_static: TinyModel) -> None:
    tokenizer = _in_torch(tiny_static()).tokenizer
    [long] = tokenizer.tokenize(["cat " * 250_000], Role.DOCUMENT)
    assert long.truncated
    assert len(long) == 32_768 < long.counted < 100_000


def test_the_maximum_is_that_of_the_tokenizer_where_it_has_one(tiny_static: TinyModel) -> None:
    assert _in_torch(tiny_static()).description.max_tokens == 32_768
    assert _in_torch(tiny_static(cut_at=9)).description.max_tokens == 9


def test_the_served_form_is_described_as_the_model_in_torch(tiny_static: TinyModel) -> None:
    model = tiny_static()
    served = load(_export(model), "tiny", source="test").description
    assert replace(served, runtime="torch", runtime_reason="") == _in_torch(model).description


def test_weights_and_tokenizer_make_the_fingerprint(tiny_static: TinyModel) -> None:
    model = tiny_static()
    before = _in_torch(model).description.fingerprint
    assert _in_torch(tiny_static()).description.fingerprint == before
    [weights] = model.rglob("model.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert _in_torch(model).description.fingerprint != before
    assert is_complete(model)
    weights.unlink()
    assert not is_complete(model)


def test_int8_is_refused_to_a_model_without_matrix_products(tiny_static: TinyModel) -> None:
    with pytest.raises(ModelUnavailableError, match="no matrix products that could compute in int8"):
        _export(tiny_static(), Precision.INT8)


def test_its_tokenizer_can_be_pickled(tiny_static: TinyModel) -> None:
    tokenizer = _in_torch(tiny_static()).tokenizer
    copy = pickle.loads(pickle.dumps(tokenizer))  # it was made here
    texts = ["", "the cat", "cat " * 40_000]
    for ours, theirs in zip(copy.tokenize(texts, Role.QUERY), tokenizer.tokenize(texts, Role.QUERY), strict=True):
        assert ours.token_ids.tolist() == theirs.token_ids.tolist()
        assert ours.counted == theirs.counted
