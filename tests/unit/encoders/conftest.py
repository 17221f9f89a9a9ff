"""Models for these tests: the published architectures at reduced width with random weights, and the real small one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vecgate_server.encoders.base import Role

WORDS = [
    *("a", "the", "of", "to", "and", "on", "word", "query", "document", "cat", "mat", "sat", "rug", "feline", "house"),
    *("##s", "##ed", "##ing", "##er", "##a", "##b", "b", "c", "x", ".", ",", ":", "-", "'", "日", "本", "語"),
]
MAX_TOKENS = 16
TEXTS = [
    "",
    "   ",
    "The cat sat on the mat.",
    "a feline rested on the rug",
    "null\x00byte",
    "🙂🙃",
    "日本語",
    "[SEP] [MASK] </s> <mask>",
    "café naïve",
    "word " * 600,
    "x" * 5000,
]
ARCHITECTURES: dict[str, dict[str, object]] = {
    "bert": {"backbone": "bert"},
    "mpnet": {"backbone": "mpnet"},
    "distilbert with a dense layer": {"backbone": "distilbert", "dense": 24, "normalize": False},
    "prompts": {"query_prompt": "query: ", "document_prompt": "document : "},
    "prompts left out of the pooling": {"query_prompt": "query: ", "include_prompt": False},
    "first token": {"pooling": "cls"},
}

TinyModel = Callable[..., Path]


def _vocabulary(specials: list[str]) -> dict[str, int]:
    return {token: index for index, token in enumerate([*specials, *WORDS])}


def _bert(directory: Path) -> None:
    from transformers import BertConfig, BertModel, BertTokenizer

    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    BertTokenizer(vocab=_vocabulary(specials), do_lower_case=True).save_pretrained(directory)
    config = BertConfig(
        vocab_size=len(specials) + len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(directory)


def _mpnet(directory: Path) -> None:
    from transformers import MPNetConfig, MPNetModel, MPNetTokenizer

    specials = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]
    MPNetTokenizer(vocab=_vocabulary(specials), do_lower_case=True).save_pretrained(directory)
    config = MPNetConfig(
        vocab_size=len(specials) + len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=66,
    )
    MPNetModel(config).save_pretrained(directory)


def _distilbert(directory: Path) -> None:
    from transformers import BertTokenizer, DistilBertConfig, DistilBertModel

    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = BertTokenizer(vocab=_vocabulary(specials), do_lower_case=False)
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    tokenizer.save_pretrained(directory)
    config = DistilBertConfig(
        vocab_size=len(specials) + len(WORDS), dim=32, n_layers=2, n_heads=4, hidden_dim=64, max_position_embeddings=64
    )
    DistilBertModel(config).save_pretrained(directory)


def _classifier(directory: Path, labels: int) -> None:
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    BertTokenizer(vocab=_vocabulary(specials), do_lower_case=True).save_pretrained(directory)
    config = BertConfig(
        vocab_size=len(specials) + len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        id2label={number: str(number) for number in range(labels)},
        initializer_range=0.2,  # scores that differ from text to text
    )
    BertForSequenceClassification(config).save_pretrained(directory)


BACKBONES = {"bert": _bert, "mpnet": _mpnet, "distilbert": _distilbert}


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """A builder: equal arguments give equal models, each time in a new directory."""
    built: dict[tuple[Any, ...], Path] = {}

    def build(
        backbone: str = "bert",
        *,
        seed: int = 0,
        max_tokens: int = MAX_TOKENS,
        pooling: str = "mean",
        include_prompt: bool = True,
        dense: int | None = None,
        normalize: bool = True,
        query_prompt: str = "",
        document_prompt: str = "",
    ) -> Path:
        recipe = (
            backbone, seed, max_tokens, pooling, include_prompt, dense, normalize, query_prompt, document_prompt
        )  # fmt: skip
        if recipe not in built:
            built[recipe] = _save(tmp_path_factory.mktemp(backbone), *recipe)
        copy = tmp_path_factory.mktemp("copy") / "model"
        shutil.copytree(built[recipe], copy)
        return copy

    return build


@pytest.fixture
def tiny_cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """A builder of cross-encoders, as sentence-transformers saves them or, plain, as transformers does."""

    def build(*, activation: str = "Sigmoid", labels: int = 1, plain: bool = False, prompt: str = "") -> Path:
        import torch
        from sentence_transformers import CrossEncoder

        torch.manual_seed(0)
        directory = tmp_path_factory.mktemp("cross-encoder")
        _classifier(directory / "plain", labels)
        if plain:
            return directory / "plain"
        model = CrossEncoder(
            str(directory / "plain"),
            device="cpu",
            max_length=MAX_TOKENS,
            activation_fn=getattr(torch.nn, activation)(),
            prompts={"rank": prompt} if prompt else None,
            default_prompt_name="rank" if prompt else None,
        )
        model.save_pretrained(str(directory / "model"), create_model_card=False)
        return directory / "model"

    return build


@pytest.fixture
def tiny_static(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """A builder of models that begin with a StaticEmbedding."""

    def build(*, cut_at: int | None = None, dense: int | None = None, normalize: bool = True) -> Path:
        import torch
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer import modules as models
        from transformers import BertTokenizer

        torch.manual_seed(0)
        directory = tmp_path_factory.mktemp("static")
        specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        words = BertTokenizer(vocab=_vocabulary(specials), do_lower_case=True).backend_tokenizer
        if cut_at is not None:
            words.enable_truncation(cut_at)
        modules: list[Any] = [models.StaticEmbedding(words, embedding_dim=32)]
        if dense is not None:
            modules.append(models.Dense(32, dense, activation_function=torch.nn.Tanh()))
        if normalize:
            modules.append(models.Normalize())
        SentenceTransformer(modules=modules, device="cpu").save_pretrained(
            str(directory / "model"), create_model_card=False
        )
        return directory / "model"

    return build


@pytest.fixture(params=list(ARCHITECTURES.values()), ids=list(ARCHITECTURES))
def architecture(request: pytest.FixtureRequest, tiny_model: TinyModel) -> Path:
    """A model of each architecture that is served."""
    return tiny_model(**request.param)


@pytest.fixture
def texts() -> list[str]:
    """Texts that are encoded in different ways: empty, in several scripts, with special tokens, too long."""
    return TEXTS


Reference = Callable[[Path, Sequence[str], Role], NDArray[np.float32]]


@pytest.fixture
def reference() -> Reference:
    """The vectors that sentence-transformers itself gives."""

    def encode(directory: Path, texts: Sequence[str], role: Role) -> NDArray[np.float32]:
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(str(directory), device="cpu")
        encode_role = {Role.QUERY: model.encode_query, Role.DOCUMENT: model.encode_document}[role]
        vectors: NDArray[np.float32] = encode_role(list(texts))
        return vectors

    return encode


def _save(
    directory: Path,
    backbone: str,
    seed: int,
    max_tokens: int,
    pooling: str,
    include_prompt: bool,
    dense: int | None,
    normalize: bool,
    query_prompt: str,
    document_prompt: str,
) -> Path:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules as models

    torch.manual_seed(seed)
    BACKBONES[backbone](directory / "backbone")
    modules: list[Any] = [models.Transformer(str(directory / "backbone"), max_seq_length=max_tokens)]
    modules.append(models.Pooling(32, pooling_mode=pooling, include_prompt=include_prompt))
    if dense is not None:
        modules.append(models.Dense(32, dense, activation_function=torch.nn.Tanh()))
    if normalize:
        modules.append(models.Normalize())
    model = SentenceTransformer(
        modules=modules, device="cpu", prompts={"query": query_prompt, "document": document_prompt}
    )
    model.save_pretrained(str(directory / "model"), create_model_card=False)
    return directory / "model"
