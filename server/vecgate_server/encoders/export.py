"""Making the served form of a model.

The model is loaded into torch, which is the reference. Its graph also pools and normalises, or puts the activation after a
score; its layers are fused for ONNX Runtime; and what both give is compared before anything is called a served form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vecgate_server.encoders import sentence_transformers
from vecgate_server.encoders.agreement import (
    Agreement,
    agreement_of_scores,
    agreement_of_vectors,
    wanted_agreement,
    worst,
)
from vecgate_server.encoders.base import ModelKind, Role
from vecgate_server.encoders.failed_exports import installed_versions
from vecgate_server.encoders.graph_writer import write_graph
from vecgate_server.encoders.input_layout import InputLayout
from vecgate_server.encoders.locate import ModelLocation
from vecgate_server.encoders.model_files import sha256_of
from vecgate_server.encoders.onnx_runtime import POOLING_MASK, OnnxRuntime, open_graph
from vecgate_server.encoders.served_form import FORM_FILES, GRAPH_FILE, TOKENIZER_FILE, ServedForm, write_settings
from vecgate_server.encoders.settings import Precision
from vecgate_server.encoders.tokenized_text import TokenizedText
from vecgate_server.encoders.torch_runtime import TorchRuntime
from vecgate_server.errors import ModelUnavailableError

# Of mixed length and script, so that rows are padded; most models cut the last two.
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
QUERIES = ("", "Where did the cat sit?", "a word on the mat " * 40)


def export(model: Path, directory: Path, precision: Precision = Precision.FP32) -> None:
    """Make the served form of a sentence-transformers model.

    Args:
        model: the model's directory.
        directory: where to write; it exists and is empty.
        precision: the class in which the graph is to compute.

    Raises:
        ModelUnavailableError: the model is not served at all, or its graph gives something else.
        Exception: whatever the exporter raises on a model that it does not know.
    """
    reference = sentence_transformers.load(ModelLocation(model, f"path {model}"), model.name, precision=precision)
    batches = _sample_batches(reference)
    expected = [reference.forward(batch, role) for role, batch in batches]
    write_graph(reference, _inputs(reference), directory / GRAPH_FILE, precision)
    reference.backend_tokenizer.save(str(directory / TOKENIZER_FILE))
    session = open_graph(directory / GRAPH_FILE)
    # A graph has no input that the model ignores, whatever its tokenizer gives.
    inputs = {each.name for each in session.get_inputs()}
    padding = {name: value for name, value in reference.layout.padding.items() if name in inputs}
    layout = replace(reference.layout, padding=padding)
    served = OnnxRuntime(session, reference.tokenizer, layout, reference.description)
    seen = worst(
        [_agreement(served, role, batch, right) for (role, batch), right in zip(batches, expected, strict=True)]
    )
    wanted = wanted_agreement(reference.description.kind, precision)
    if not seen.reaches(wanted):
        raise ModelUnavailableError(f"the graph does not give what torch gives: {seen.shortfall(wanted)}")
    _write_settings(reference, layout, directory, seen)


def _sample_batches(runtime: TorchRuntime) -> list[tuple[Role, list[TokenizedText]]]:
    """Tokenize the sample: texts in each role, or pairs with each query."""
    if runtime.description.kind is ModelKind.CROSS_ENCODER:
        return [(Role.QUERY, runtime.tokenizer.tokenize_pairs(query, SAMPLE)) for query in QUERIES]
    return [(role, runtime.tokenizer.tokenize(SAMPLE, role)) for role in Role]


def _inputs(runtime: TorchRuntime) -> dict[str, NDArray[np.int64]]:
    """Build the inputs for some texts of the sample, by which the model is traced."""
    role, batch = _sample_batches(runtime)[-1]
    inputs = runtime.layout.arrays(batch[1:4])
    if runtime.layout.has_pooling_mask:
        inputs[POOLING_MASK] = runtime.layout.pooling_mask(batch[1:4], role)
    return inputs


def _agreement(
    served: OnnxRuntime, role: Role, batch: Sequence[TokenizedText], expected: NDArray[np.float32]
) -> Agreement:
    """Compare what the graph gives, for the batch at once and one by one, with what torch gave."""
    compare = agreement_of_scores if served.description.kind is ModelKind.CROSS_ENCODER else agreement_of_vectors
    alone = np.concatenate([served.forward([text], role) for text in batch])
    return worst([compare(served.forward(batch, role), expected), compare(alone, expected)])


def _write_settings(runtime: TorchRuntime, layout: InputLayout, directory: Path, seen: Agreement) -> None:
    model = runtime.description
    write_settings(
        ServedForm(
            kind=model.kind,
            fingerprint=model.fingerprint,
            dimension=model.dimension,
            max_tokens=model.max_tokens,
            query_prompt=model.query_prompt,
            document_prompt=model.document_prompt,
            normalized=model.normalized,
            matryoshka_dimensions=model.matryoshka_dimensions,
            precision=model.precision,
            truncation_side=runtime.truncation_side,
            adds_special_tokens=runtime.adds_special_tokens,
            layout=layout,
            agreement=seen,
            wanted=wanted_agreement(model.kind, model.precision),
            made_with=installed_versions(),
            files={name: sha256_of(directory / name) for name in FORM_FILES},
        ),
        directory,
    )
