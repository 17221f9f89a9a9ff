from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vecgate_server.encoders.fingerprint import fingerprint


def _of(directory: Path, *, max_tokens: int = 16, dimension: int = 32, document_prompt: str = "") -> str:
    return fingerprint(directory, max_tokens=max_tokens, dimension=dimension, document_prompt=document_prompt)


def test_a_fingerprint_is_a_sha256(tiny_model: Callable[..., Path]) -> None:
    kind, _, digits = _of(tiny_model()).partition(":")
    assert kind == "sha256"
    assert len(digits) == 64
    assert int(digits, 16) >= 0


def test_a_copy_of_a_model_has_its_fingerprint(tiny_model: Callable[..., Path]) -> None:
    assert _of(tiny_model()) == _of(tiny_model())


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"pooling": "cls"},
        {"include_prompt": False},
        {"dense": 32},
        {"normalize": False},
        {"backbone": "distilbert"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_shapes_vectors_changes_the_fingerprint(
    tiny_model: Callable[..., Path], changed: dict[str, object]
) -> None:
    assert _of(tiny_model(**changed)) != _of(tiny_model())


def test_the_weights_of_a_dense_layer_count(tiny_model: Callable[..., Path]) -> None:
    model = tiny_model(dense=24)
    before = _of(model, dimension=24)
    weights = model / "2_Dense" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert _of(model, dimension=24) != before


def test_the_tokenizer_counts(tiny_model: Callable[..., Path]) -> None:
    model = tiny_model()
    before = _of(model)
    path = model / "tokenizer.json"
    path.write_text(path.read_text("utf-8").replace('"cat"', '"dog"'), "utf-8")
    assert _of(model) != before


def test_length_dimension_prompt_and_precision_count(tiny_model: Callable[..., Path]) -> None:
    model = tiny_model()
    prints = {
        _of(model),
        _of(model, max_tokens=15),
        _of(model, dimension=31),
        _of(model, document_prompt="passage: "),
        fingerprint(model, max_tokens=16, dimension=32, document_prompt="", precision="int8"),
    }
    assert len(prints) == 5


def test_the_number_of_attention_heads_counts_though_the_weights_do_not_show_it(
    tiny_model: Callable[..., Path],
) -> None:
    model = tiny_model()
    before = _of(model)
    _edit(model / "config.json", num_attention_heads=2)
    assert _of(model) != before


def test_notes_about_provenance_do_not_count(tiny_model: Callable[..., Path]) -> None:
    model = tiny_model()
    before = _of(model)
    _edit(model / "config.json", transformers_version="4.6.1", _name_or_path="elsewhere")
    _edit(model / "config_sentence_transformers.json", prompts={"query": "another: ", "document": ""})
    (model / "README.md").write_text("A model.", "utf-8")
    assert _of(model) == before


def test_both_spellings_of_a_pooling_give_one_fingerprint(tiny_model: Callable[..., Path]) -> None:
    model = tiny_model()
    before = _of(model)
    flags = {"word_embedding_dimension": 32, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    (model / "1_Pooling" / "config.json").write_text(json.dumps(flags), "utf-8")
    assert _of(model) == before


def test_a_file_that_changed_under_its_old_size_is_read_again(tiny_model: Callable[..., Path]) -> None:
    model = tiny_model()
    before = _of(model)
    weights = model / "model.safetensors"
    modified = weights.stat().st_mtime_ns
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    os.utime(weights, ns=(modified + 1, modified + 1))
    assert _of(model) != before


def test_a_directory_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no modules\.json"):
        _of(tmp_path)
    (tmp_path / "modules.json").write_text('{"type": "Transformer"}', "utf-8")
    with pytest.raises(ValueError, match="not a list of modules"):
        _of(tmp_path)


def _edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")
