"""The published architectures at full size, with random weights."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.datasets import REPOSITORY
from benchmarks.encoder.reference import packaged_model


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides how long a model takes; `dense` is the width of a layer behind the pooling, 0 for none."""

    backbone: str
    layers: int
    width: int
    heads: int
    vocabulary: int
    positions: int
    max_tokens: int
    dense: int = 0


SHAPES: Mapping[str, Shape] = {
    "multi-qa-MiniLM-L6-cos-v1": Shape("bert", 6, 384, 12, 30_522, 512, 512),
    "all-mpnet-base-v2": Shape("mpnet", 12, 768, 12, 30_527, 514, 384),
    "distiluse-base-multilingual-cased": Shape("distilbert", 6, 768, 12, 119_547, 512, 128, dense=512),
}
"""The models whose weights do not come with the package, as their published configurations describe them."""


def build_random_model(name: str, directory: Path) -> Path:
    """Write a model of the shape of a published one; a child process does it, so that this one never holds torch."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    subprocess.run(
        [sys.executable, "-m", "benchmarks.encoder.random_models", name, str(directory)],
        check=True,
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return directory / "model"


def _vocabulary(shape: Shape) -> dict[str, int]:
    """Take the word pieces of all-MiniLM-L6-v2, filled up with pieces that no text has."""
    pieces = (packaged_model() / "vocab.txt").read_text(encoding="utf-8").splitlines()
    specials = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"] if shape.backbone == "mpnet" else []
    known = list(dict.fromkeys([*specials, *pieces]))[: shape.vocabulary]
    fill = [f"[filled{number}]" for number in range(shape.vocabulary - len(known))]
    return {piece: index for index, piece in enumerate([*known, *fill])}


def _save_backbone(shape: Shape, directory: Path) -> None:
    import transformers  # noqa: PLC0415  # in the child alone

    vocabulary = _vocabulary(shape)
    sizes: dict[str, Any] = {"vocab_size": shape.vocabulary, "max_position_embeddings": shape.positions}
    if shape.backbone == "distilbert":
        tokenizer = transformers.BertTokenizer(vocab=vocabulary, do_lower_case=False)
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
        config = transformers.DistilBertConfig(
            **sizes, n_layers=shape.layers, dim=shape.width, hidden_dim=4 * shape.width, n_heads=shape.heads
        )
        model = transformers.DistilBertModel(config)
    else:
        family = {"bert": "Bert", "mpnet": "MPNet"}[shape.backbone]
        tokenizer = getattr(transformers, f"{family}Tokenizer")(vocab=vocabulary, do_lower_case=True)
        config = getattr(transformers, f"{family}Config")(
            **sizes,
            num_hidden_layers=shape.layers,
            hidden_size=shape.width,
            intermediate_size=4 * shape.width,
            num_attention_heads=shape.heads,
        )
        model = getattr(transformers, f"{family}Model")(config)
    tokenizer.save_pretrained(directory)
    model.save_pretrained(directory)


def _save(shape: Shape, directory: Path) -> None:
    import torch  # noqa: PLC0415  # in the child alone
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415
    from sentence_transformers.sentence_transformer import modules  # noqa: PLC0415

    torch.manual_seed(0)
    _save_backbone(shape, directory / "backbone")
    layers = [
        modules.Transformer(str(directory / "backbone"), max_seq_length=shape.max_tokens),
        modules.Pooling(shape.width, pooling_mode="mean"),
        modules.Dense(shape.width, shape.dense, activation_function=torch.nn.Tanh())
        if shape.dense
        else modules.Normalize(),
    ]
    SentenceTransformer(modules=layers, device="cpu").save_pretrained(str(directory / "model"), create_model_card=False)
    shutil.rmtree(directory / "backbone")


if __name__ == "__main__":
    _save(SHAPES[sys.argv[1]], Path(sys.argv[2]))
