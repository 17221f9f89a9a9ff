"""The models of the catalogue, rebuilt with random weights at reduced width (MPNet: and depth), as their publishers laid them out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from vecgate_server.encoders import catalogue, locate, runtime_choice
from vecgate_server.encoders.base import Role
from vecgate_server.encoders.catalogue import CATALOGUE
from vecgate_server.encoders.export import export
from vecgate_server.encoders.graph_cache import cached_form
from vecgate_server.encoders.model_export import export_model
from vecgate_server.encoders.runtime_choice import load_runtime
from vecgate_server.encoders.settings import EncoderSettings, ModelSettings, RuntimeChoice
from vecgate_server.errors import ModelUnavailableError

# The exporter warns of itself and of every shape that a model looks at while it is traced.
pytestmark = pytest.mark.filterwarnings("ignore")

BERT_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MPNET_TOKENS = ("<s>", "<pad>", "</s>", "[UNK]", "<mask>")
PIECES = ("the", "cat", "mat", "sat", "on", "a", "Cat", "##s", "##at", ".", "c", "m", "日")
MINILM = {
    "model_type": "bert", "architectures": ["BertModel"], "hidden_act": "gelu", "hidden_size": 48, "layer_norm_eps": 1e-12,
    "intermediate_size": 96, "num_attention_heads": 12, "num_hidden_layers": 6, "max_position_embeddings": 512,
    "pad_token_id": 0, "type_vocab_size": 2,
}  # fmt: skip
MPNET = {
    "model_type": "mpnet", "architectures": ["MPNetForMaskedLM"], "hidden_act": "gelu", "hidden_size": 48,
    "layer_norm_eps": 1e-5, "intermediate_size": 96, "num_attention_heads": 12, "num_hidden_layers": 4,
    "max_position_embeddings": 514, "relative_attention_num_buckets": 32, "pad_token_id": 1, "bos_token_id": 0,
    "eos_token_id": 2,
}  # fmt: skip
DISTILBERT = {
    "model_type": "distilbert", "architectures": ["DistilBertModel"], "activation": "gelu", "dim": 48, "hidden_dim": 96,
    "n_heads": 12, "n_layers": 6, "max_position_embeddings": 512, "pad_token_id": 0, "sinusoidal_pos_embds": False,
    "output_hidden_states": True,
}  # fmt: skip


@dataclass(frozen=True)
class Rebuilt:
    """How a published model is laid out: everything but its weights, its vocabulary and its width."""

    config: dict[str, Any]
    tokenizer_class: str
    lower_case: bool
    special_tokens: tuple[str, ...]
    dense: int | None = None

    @property
    def dimension(self) -> int:
        return self.dense or 48


REBUILT = {
    "all-MiniLM-L6-v2": Rebuilt(MINILM, "BertTokenizer", lower_case=True, special_tokens=BERT_TOKENS),
    "multi-qa-MiniLM-L6-cos-v1": Rebuilt(MINILM, "BertTokenizer", lower_case=True, special_tokens=BERT_TOKENS),
    "all-mpnet-base-v2": Rebuilt(MPNET, "MPNetTokenizer", lower_case=True, special_tokens=MPNET_TOKENS),
    "distiluse-base-multilingual-cased": Rebuilt(
        DISTILBERT, "DistilBertTokenizer", lower_case=False, special_tokens=BERT_TOKENS, dense=512
    ),
}
TEXTS = ["", "The cats sat on a mat.", "Cat 日", "the cat sat on the mat . " * 120]


def _rebuild(directory: Path, model: Rebuilt, max_tokens: int) -> Path:
    import torch
    import transformers
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules as models

    torch.manual_seed(0)
    vocabulary = {token: index for index, token in enumerate([*model.special_tokens, *PIECES])}
    config = transformers.AutoConfig.for_model(**model.config, vocab_size=len(vocabulary), initializer_range=0.2)
    backbone: Any = transformers.AutoModel
    backbone.from_config(config).save_pretrained(directory / "backbone")
    tokenizer: Any = getattr(transformers, model.tokenizer_class)
    tokenizer(vocab=vocabulary, do_lower_case=model.lower_case).save_pretrained(directory / "backbone")
    modules: list[Any] = [models.Transformer(str(directory / "backbone"), max_seq_length=max_tokens)]
    modules.append(models.Pooling(48, pooling_mode="mean"))
    modules.append(
        models.Dense(48, model.dense, activation_function=torch.nn.Tanh()) if model.dense else models.Normalize()
    )
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(
        str(directory / "model"), create_model_card=False
    )
    settings = directory / "model" / "config.json"
    written = json.loads(settings.read_text("utf-8")) | {"architectures": model.config["architectures"]}
    settings.write_text(json.dumps(written), "utf-8")
    return directory / "model"


@pytest.fixture
def narrow_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue of the rebuilt models: the published entries but for width, weights and packages."""
    narrow = {
        name: replace(published, dimension=REBUILT[name].dimension, weights_sha256=None, package=None, revision=None)
        for name, published in CATALOGUE.items()
    }
    for module in (catalogue, locate, runtime_choice):
        monkeypatch.setattr(module, "CATALOGUE", MappingProxyType(narrow))


@pytest.mark.usefixtures("narrow_catalogue")
@pytest.mark.parametrize("name", CATALOGUE)
def test_a_name_of_the_catalogue_leads_through_the_hub_to_torchs_vectors(
    name: str, open_hub: Callable[[str, Path], Any], tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    published = CATALOGUE[name]
    model = _rebuild(tmp_path, REBUILT[name], published.max_tokens)
    expected = SentenceTransformer(str(model), device="cpu").encode(TEXTS)
    graphs = tmp_path / "graphs"
    cached_form(model, graphs, exporter=export)
    with open_hub(published.hub_id, model) as hub:
        settings = EncoderSettings(
            runtime=RuntimeChoice.ONNX,
            cache_directory=tmp_path / "cache",
            hub_endpoint=hub.endpoint,
            graph_directory=graphs,
        )
        runtime = load_runtime(ModelSettings(name), settings)
    assert runtime.description.source.startswith(f"hub {published.hub_id}@")
    assert runtime.description.max_tokens == published.max_tokens
    assert runtime.description.normalized == (REBUILT[name].dense is None)
    tokenized = runtime.tokenizer.tokenize(TEXTS, Role.DOCUMENT)
    assert len(tokenized[-1]) == published.max_tokens
    np.testing.assert_allclose(runtime.forward(tokenized, Role.DOCUMENT), expected, atol=2e-5)


def test_a_download_of_another_dimension_is_served_nowhere_and_not_exported(
    open_hub: Callable[[str, Path], Any], tmp_path: Path
) -> None:
    name = "multi-qa-MiniLM-L6-cos-v1"
    model = _rebuild(tmp_path, REBUILT[name], 512)
    graphs = tmp_path / "graphs"
    cached_form(model, graphs, exporter=export)
    # The cache of the hub's client names a commit as the catalogue does.
    commit = tmp_path / "cache" / f"models--{CATALOGUE[name].hub_id.replace('/', '--')}" / "snapshots"
    shutil.copytree(model, commit / str(CATALOGUE[name].revision))
    settings = EncoderSettings(cache_directory=tmp_path / "cache", graph_directory=graphs)
    fault = "has 48 dimensions and reads 512 tokens; the published one has 384 and reads 512"
    with pytest.raises(ModelUnavailableError, match=fault):
        load_runtime(ModelSettings(name), settings)
    with pytest.raises(ModelUnavailableError, match=fault):
        export_model(ModelSettings(name), settings, tmp_path / "served")
    assert not (tmp_path / "served").exists()


def test_a_cross_encoder_is_found_on_the_hub_and_then_in_the_cache(
    open_hub: Callable[[str, Path], Any], tiny_cross_encoder: Callable[..., Path], tmp_path: Path
) -> None:
    model = tiny_cross_encoder(plain=True)
    with open_hub("someone/ranks", model) as hub:
        found = locate.locate("someone/ranks", cache_directory=tmp_path, hub_endpoint=hub.endpoint)
    assert found.source.startswith("hub someone/ranks@")
    again = locate.locate("someone/ranks", cache_directory=tmp_path, hub_endpoint="http://127.0.0.1:9")
    assert again.source.startswith("cache someone/ranks@")
