"""The runtime for CPUs: a served form in ONNX Runtime. Loading it imports neither torch nor sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from vecgate_server.encoders.base import ModelDescription, Role
from vecgate_server.encoders.input_layout import InputLayout
from vecgate_server.encoders.served_form import (
    GRAPH_FILE,
    TOKENIZER_FILE,
    ServedForm,
    ServedFormError,
    read_served_form,
)
from vecgate_server.encoders.tokenized_text import TokenizedText
from vecgate_server.encoders.tokenizer import TextTokenizer

POOLING_MASK = "pooling_mask"
# https://onnxruntime.ai/docs/performance/tune-performance/threading.html
THREAD_OPTIONS = {
    # Waking a thread for each layer takes a query a tenth of its time, but threads that spin for long take the cores from
    # searches: beside a bulk encode those then take half as long again.
    "session.intra_op.allow_spinning": "1",
    "session.intra_op.spin_duration_us": "30",
    "session.force_spinning_stop": "1",
    # A thread that another process holds up leaves the rest of its share to the others.
    "session.dynamic_block_base": "4",
}
# What ONNX Runtime would fuse when it opens a graph, though its kernel takes a CPU five times what an addition and a
# LayerNormalization take: benchmarks/README.md.
SLOW_FUSIONS = ("SkipLayerNormFusion",)


class OnnxRuntime:
    """One model in ONNX Runtime, on the CPU."""

    concurrent = True

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        tokenizer: TextTokenizer,
        layout: InputLayout,
        description: ModelDescription,
    ) -> None:
        """Take a loaded graph, the tokenizer that reads as its model does, and the layout of its inputs."""
        self._session = session
        self.tokenizer = tokenizer
        self._layout = layout
        self.description = description

    def forward(self, batch: Sequence[TokenizedText], role: Role) -> NDArray[np.float32]:
        """Run the model on a batch; see Runtime.forward."""
        inputs = self._layout.arrays(batch)
        if self._layout.has_pooling_mask:
            inputs[POOLING_MASK] = self._layout.pooling_mask(batch, role)
        (output,) = self._session.run(None, inputs)
        array: NDArray[np.float32] = output
        return array


def load(directory: Path, name: str, *, source: str, threads: int = 0) -> OnnxRuntime:
    """Load a served form. Blocks.

    Args:
        directory: the served form.
        name: what requests call the model.
        source: where the model was found.
        threads: threads of a run; 0 leaves ONNX Runtime's choice, one for each core.

    Raises:
        ServedFormError: the directory is not a served form, is damaged, or cannot be run by this ONNX Runtime.
    """
    form = read_served_form(directory)
    try:
        session = open_graph(directory / GRAPH_FILE, threads)
        tokenizer = _text_tokenizer(directory / TOKENIZER_FILE, form)
    except Exception as error:
        # Both libraries raise exceptions of their own that share no base class.
        raise ServedFormError(f"{directory} cannot be loaded: {type(error).__name__}: {error}") from error
    return OnnxRuntime(session, tokenizer, form.layout, _describe(form, name, source))


def open_graph(path: Path, threads: int = 0) -> onnxruntime.InferenceSession:
    """Open a graph for the CPU; threads as of load()."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # The layers of a transformer follow one another, so there is nothing to run side by side.
    options.inter_op_num_threads = 1
    for name, value in THREAD_OPTIONS.items():
        options.add_session_config_entry(name, value)
    return onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"], disabled_optimizers=SLOW_FUSIONS
    )


def _text_tokenizer(path: Path, form: ServedForm) -> TextTokenizer:
    return TextTokenizer(
        Tokenizer.from_file(str(path)),
        max_tokens=form.max_tokens,
        prompts={Role.QUERY: form.query_prompt, Role.DOCUMENT: form.document_prompt},
        truncation_side=form.truncation_side,
        adds_special_tokens=form.adds_special_tokens,
    )


def _describe(form: ServedForm, name: str, source: str) -> ModelDescription:
    return ModelDescription(
        name=name,
        fingerprint=form.fingerprint,
        dimension=form.dimension,
        max_tokens=form.max_tokens,
        query_prompt=form.query_prompt,
        document_prompt=form.document_prompt,
        normalized=form.normalized,
        runtime="onnx",
        runtime_reason=f"ONNX Runtime {onnxruntime.__version__}, {form.precision}, {form.agreement}",
        source=source,
        kind=form.kind,
        precision=form.precision,
        matryoshka_dimensions=form.matryoshka_dimensions,
    )
