from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vecgate_server.encoders.base import Role
from vecgate_server.encoders.locate import ModelLocation
from vecgate_server.encoders.sentence_transformers import load
from vecgate_server.encoders.torch_runtime import TorchRuntime
from vecgate_server.errors import ModelUnavailableError

Reference = Callable[[Path, Sequence[str], Role], NDArray[np.float32]]


def _load(directory: Path) -> TorchRuntime:
    return load(ModelLocation(directory, f"path {directory}"), "tiny")


@pytest.mark.parametrize("role", Role)
def test_vectors_are_those_of_sentence_transformers(
    architecture: Path, texts: list[str], reference: Reference, role: Role
) -> None:
    runtime = _load(architecture)
    vectors = runtime.forward(runtime.tokenizer.tokenize(texts, role), role)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, reference(architecture, texts, role), atol=1e-6)


def test_the_description_tells_what_the_model_is(tiny_model: Callable[..., Path]) -> None:
    directory = tiny_model(dense=24, normalize=False, query_prompt="query: ", document_prompt="document: ")
    description = _load(directory).description
    assert description.name == "tiny"
    assert description.dimension == 24
    assert description.max_tokens == 16
    assert description.query_prompt == "query: "
    assert description.document_prompt == "document: "
    assert not description.normalized
    assert description.runtime == "torch"
    assert description.source == f"path {directory}"


def test_the_query_prompt_leaves_the_fingerprint_alone_and_the_document_prompt_does_not(
    tiny_model: Callable[..., Path],
) -> None:
    plain, asking, telling = (
        _load(tiny_model(**prompts)).description
        for prompts in ({}, {"query_prompt": "query: "}, {"document_prompt": "document: "})
    )
    assert asking.query_prompt
    assert asking.fingerprint == plain.fingerprint
    assert telling.fingerprint != plain.fingerprint


def test_the_maximum_length_is_part_of_the_fingerprint(tiny_model: Callable[..., Path]) -> None:
    short, long = (_load(tiny_model(max_tokens=max_tokens)).description for max_tokens in (12, 16))
    assert (short.max_tokens, long.max_tokens) == (12, 16)
    assert short.fingerprint != long.fingerprint


def test_the_number_of_threads_is_set(tiny_model: Callable[..., Path]) -> None:
    import torch

    before = torch.get_num_threads()
    try:
        load(ModelLocation(tiny_model(), "test"), "tiny", threads=before + 1)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_a_model_without_a_maximum_length_is_refused(tiny_model: Callable[..., Path]) -> None:
    directory = tiny_model()
    settings = directory / "sentence_bert_config.json"
    # What a tokenizer declares when nobody set a limit.
    settings.write_text(json.dumps({**json.loads(settings.read_text("utf-8")), "max_seq_length": int(1e30)}), "utf-8")
    with pytest.raises(ModelUnavailableError, match="tiny declares no maximum length"):
        _load(directory)


def test_a_damaged_weights_file_is_one_clear_sentence(tiny_model: Callable[..., Path]) -> None:
    directory = tiny_model()
    (directory / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelUnavailableError, match="tiny cannot be loaded from path") as caught:
        _load(directory)
    assert "\n" not in str(caught.value)


def test_a_model_that_begins_with_something_else_than_a_transformer_is_refused(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules as models

    bag = SentenceTransformer(modules=[models.BoW(["cat", "mat"])], device="cpu")
    bag.save_pretrained(str(tmp_path / "bag"), create_model_card=False)
    with pytest.raises(ModelUnavailableError, match="tiny begins with BoW"):
        _load(tmp_path / "bag")


@pytest.fixture(scope="module")
def minilm() -> TorchRuntime:
    from vecgate_server.encoders.locate import locate

    return load(locate("all-MiniLM-L6-v2"), "all-MiniLM-L6-v2")


@pytest.mark.model
def test_the_real_model_gives_the_golden_embeddings_and_token_counts(minilm: TorchRuntime) -> None:
    data = Path(os.environ.get("VECGATE_TEST_DATA", Path(__file__).parents[4] / "shared" / "data")) / "golden_minilm"
    if not data.is_dir():
        pytest.skip("golden_minilm is not in VECGATE_TEST_DATA")
    texts = json.loads((data / "texts.json").read_text("utf-8"))
    with np.load(data / "embeddings.npz") as archive:
        golden = archive["embeddings"]
    tokenized = minilm.tokenizer.tokenize([row["text"] for row in texts], Role.DOCUMENT)
    assert [len(text) for text in tokenized] == [row["tokens"] for row in texts]
    cosines = (minilm.forward(tokenized, Role.DOCUMENT) * golden).sum(axis=1)
    assert cosines.min() >= 0.99999


@pytest.mark.model
def test_the_real_model_reads_a_text_far_beyond_its_length_as_sentence_transformers_does(
    minilm: TorchRuntime, reference: Reference
) -> None:
    # A cut inside a word, inside "[SEP]" and between a letter and its accent would each change the last tokens.
    texts = ["antidisestablishmentarianism [SEP] cafe\u0301 " * 2000, "\x00" * 3000 + "word " * 3000, "日本" * 4000]
    vectors = minilm.forward(minilm.tokenizer.tokenize(texts, Role.DOCUMENT), Role.DOCUMENT)
    expected = reference(_minilm_directory(), texts, Role.DOCUMENT)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def _minilm_directory() -> Path:
    from vecgate_server.encoders.locate import locate

    return locate("all-MiniLM-L6-v2").directory
