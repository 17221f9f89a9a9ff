"""Making the served form of a model.

The model is loaded into torch, which is the reference. Its graph also pools and normalises; its layers are fused for ONNX
Runtime; and the vectors of both are compared before anything is called a served form.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnxruntime.transformers.optimizer import optimize_model

from vecgate_server.encoders import sentence_transformers
from vecgate_server.encoders.base import Role
from vecgate_server.encoders.input_layout import InputLayout
from vecgate_server.encoders.locate import ModelLocation
from vecgate_server.encoders.model_files import sha256_of
from vecgate_server.encoders.onnx_runtime import OUTPUT, POOLING_MASK, OnnxRuntime, open_graph
from vecgate_server.encoders.sentence_transformers import SentenceTransformersRuntime
from vecgate_server.encoders.served_form import GRAPH_FILE, TOKENIZER_FILE, ServedForm, write_settings
from vecgate_server.encoders.settings import Precision
from vecgate_server.errors import ModelUnavailableError

# The newest operators that the exporter through TorchScript writes and the fusions know.
OPSET = 17
LEAST_COSINE = 0.99999
# Vectors that are not normalised could point the same way and be too long.
MOST_LENGTH_DIFFERENCE = 1e-4
LIBRARIES = ("onnx", "onnxruntime", "sentence-transformers", "torch", "transformers")
# Of mixed length and script, so that rows are padded; the last two are cut.
SAMPLE = (
    "",
    "cat",
    "The cat sat on the mat.",
    "a feline rested on the rug, and nobody asked it to leave",
    "Größe 10 µm; naïve café [SEP] 日本語 🙂",
    "Vectors are compared by the angle between them. " * 8,
    "a of to and on word query document cat mat sat " * 200,
    "x" * 5000,
)


class _Embedder(torch.nn.Module):
    """The whole model as a function of tensors by position, which is what the exporter traces."""

    def __init__(self, runtime: SentenceTransformersRuntime) -> None:
        super().__init__()
        self.names = [*runtime.layout.padding, *([POOLING_MASK] if runtime.layout.has_pooling_mask else [])]
        self.transformer, *others = runtime.model
        self.others = torch.nn.ModuleList(others)

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        features: dict[str, Any] = dict(zip(self.names, tensors, strict=True))
        pooling_mask = features.pop(POOLING_MASK, None)
        features = self.transformer(features)
        if pooling_mask is not None:
            features["attention_mask"] = pooling_mask
        for module in self.others:
            features = module(features)
        vectors: torch.Tensor = features[OUTPUT]
        return vectors


def export(model: Path, directory: Path) -> None:
    """Make the served form of a sentence-transformers model.

    Args:
        model: the model's directory.
        directory: where to write; it exists and is empty.

    Raises:
        ModelUnavailableError: the model is not served at all, or its graph gives other vectors.
        Exception: whatever the exporter raises on a model that it does not know.
    """
    reference = sentence_transformers.load(ModelLocation(model, f"path {model}"), model.name)
    expected = {role: reference.forward(reference.tokenizer.tokenize(SAMPLE, role), role) for role in Role}
    _write_graph(reference, directory / GRAPH_FILE)
    reference.model.tokenizer.backend_tokenizer.save(str(directory / TOKENIZER_FILE))
    session = open_graph(directory / GRAPH_FILE)
    # A graph has no input that the model ignores, whatever its tokenizer gives.
    inputs = {each.name for each in session.get_inputs()}
    padding = {name: value for name, value in reference.layout.padding.items() if name in inputs}
    layout = replace(reference.layout, padding=padding)
    served = OnnxRuntime(session, reference.tokenizer, layout, reference.description)
    least_cosine = min(_least_cosine(served, role, expected[role]) for role in Role)
    _write_settings(reference, layout, directory, least_cosine)


def _write_graph(runtime: SentenceTransformersRuntime, path: Path) -> None:
    embedder = _Embedder(runtime).eval()
    # The fusions know attention by the operators of its plain form.
    transformer: Any = runtime.model[0]
    transformer.model.set_attn_implementation("eager")
    batch = runtime.tokenizer.tokenize(SAMPLE[1:4], Role.DOCUMENT)
    arrays = runtime.layout.arrays(batch)
    if runtime.layout.has_pooling_mask:
        arrays[POOLING_MASK] = runtime.layout.pooling_mask(batch, Role.DOCUMENT)
    with TemporaryDirectory() as folder, torch.inference_mode():
        plain = Path(folder) / GRAPH_FILE
        torch.onnx.export(
            embedder,
            tuple(torch.from_numpy(arrays[name]) for name in embedder.names),
            str(plain),
            dynamo=False,  # the other exporter's graphs fuse less
            opset_version=OPSET,
            input_names=embedder.names,
            output_names=[OUTPUT],
            dynamic_axes={name: {0: "batch", 1: "tokens"} for name in embedder.names} | {OUTPUT: {0: "batch"}},
        )
        config = transformer.model.config
        optimize_model(
            str(plain), model_type="bert", num_heads=config.num_attention_heads, hidden_size=config.hidden_size
        ).save_model_to_file(str(path))


def _least_cosine(served: OnnxRuntime, role: Role, expected: NDArray[np.float32]) -> float:
    """Compare the graph's vectors of the sample, encoded together and one by one, with torch's.

    Raises:
        ModelUnavailableError: they are too different.
    """
    tokenized = served.tokenizer.tokenize(SAMPLE, role)
    least = 1.0
    for vectors in (
        served.forward(tokenized, role),
        np.concatenate([served.forward([text], role) for text in tokenized]),
    ):
        lengths, expected_lengths = (np.linalg.norm(rows.astype(np.float64), axis=1) for rows in (vectors, expected))
        cosines = (vectors.astype(np.float64) * expected).sum(axis=1) / (lengths * expected_lengths)
        difference = float(np.abs(lengths / expected_lengths - 1).max())
        # Written so that NaN does not pass.
        if not (cosines.min() >= LEAST_COSINE and difference <= MOST_LENGTH_DIFFERENCE):
            raise ModelUnavailableError(
                f"the graph's vectors are not torch's: cosine down to {cosines.min():.6f}, at least {LEAST_COSINE} is "
                f"wanted; lengths differ by up to {difference:.1e}"
            )
        least = min(least, float(cosines.min()))
    return least


def _write_settings(
    runtime: SentenceTransformersRuntime, layout: InputLayout, directory: Path, least_cosine: float
) -> None:
    model = runtime.description
    write_settings(
        ServedForm(
            fingerprint=model.fingerprint,
            dimension=model.dimension,
            max_tokens=model.max_tokens,
            query_prompt=model.query_prompt,
            document_prompt=model.document_prompt,
            normalized=model.normalized,
            precision=Precision.FP32,
            truncation_side=runtime.model.tokenizer.truncation_side,
            layout=layout,
            least_cosine=least_cosine,
            made_with={library: version(library) for library in LIBRARIES},
            files={name: sha256_of(directory / name) for name in (GRAPH_FILE, TOKENIZER_FILE)},
        ),
        directory,
    )
