"""Writing a model's graph: traced from torch, its layers fused for ONNX Runtime, in int8 where that is asked for."""

from __future__ import annotations

import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.optimizer import optimize_model

from vecgate_server.encoders.onnx_runtime import POOLING_MASK
from vecgate_server.encoders.served_form import WEIGHTS_FILE
from vecgate_server.encoders.settings import Precision
from vecgate_server.encoders.torch_runtime import StaticEmbeddingRuntime, TorchRuntime
from vecgate_server.errors import ModelUnavailableError

# The newest operators that the exporter through TorchScript writes and the fusions know.
OPSET = 17
OUTPUT = "output"
# The operators with weights in a transformer whose layers are fused; embeddings stay as they are.
QUANTIZED_OPERATORS = ("MatMul", "Attention", "Gemm")
INTEGER_OPERATORS = frozenset({"MatMulInteger", "QAttention", "DynamicQuantizeMatMul", "QGemm"})


class _MeanOfTokens(torch.nn.Module):
    """What torch's EmbeddingBag computes, over padded texts: the mean of their tokens' vectors, zero without tokens."""

    def __init__(self, embedding: torch.nn.EmbeddingBag) -> None:
        super().__init__()
        self.weight = embedding.weight

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        mask = features["attention_mask"].to(self.weight.dtype)
        # As a product of matrices it holds one vector for each token at once; a sum over masked vectors would hold two.
        sums = torch.matmul(mask.unsqueeze(1), self.weight[features["input_ids"]]).squeeze(1)
        return {"sentence_embedding": sums / mask.sum(dim=1, keepdim=True).clamp(min=1)}


class _Traced(torch.nn.Module):
    """The whole model as a function of tensors by position, which is what the exporter traces."""

    def __init__(self, runtime: TorchRuntime) -> None:
        super().__init__()
        self.names = [*runtime.layout.padding, *([POOLING_MASK] if runtime.layout.has_pooling_mask else [])]
        first, *others = runtime.model
        embedding: Any = first
        self.first = _MeanOfTokens(embedding.embedding) if isinstance(runtime, StaticEmbeddingRuntime) else first
        self.others = torch.nn.ModuleList(others)
        self.output = runtime.output

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        features: dict[str, Any] = dict(zip(self.names, tensors, strict=True))
        pooling_mask = features.pop(POOLING_MASK, None)
        features = self.first(features)
        if pooling_mask is not None:
            features["attention_mask"] = pooling_mask
        for module in self.others:
            features = module(features)
        return self.output(features)


def write_graph(runtime: TorchRuntime, sample: dict[str, NDArray[np.int64]], path: Path, precision: Precision) -> None:
    """Write the graph of a model.

    Args:
        runtime: the model in torch; its attention is changed to the plain form.
        sample: its inputs for some texts, by name.
        path: the file to write; WEIGHTS_FILE comes beside it.
        precision: what the matrix products compute in.

    Raises:
        ModelUnavailableError: the model has nothing that could compute in int8.
        Exception: whatever the exporter raises on a model that it does not know.
    """
    with TemporaryDirectory() as folder:
        traced, fused, quantized = (Path(folder) / name for name in ("traced.onnx", "fused.onnx", "quantized.onnx"))
        _trace(runtime, sample, traced)
        _fuse(runtime, traced, fused)
        if precision is Precision.INT8:
            _quantize(fused, quantized)
        _save_with_weights_apart(quantized if precision is Precision.INT8 else fused, path)


def _trace(runtime: TorchRuntime, sample: dict[str, NDArray[np.int64]], path: Path) -> None:
    traced = _Traced(runtime).eval()
    if not isinstance(runtime, StaticEmbeddingRuntime):
        # The fusions know attention by the operators of its plain form.
        transformer: Any = runtime.model[0]
        transformer.model.set_attn_implementation("eager")
    with torch.inference_mode():
        torch.onnx.export(
            traced,
            tuple(torch.from_numpy(sample[name]) for name in traced.names),
            str(path),
            dynamo=False,  # the other exporter's graphs fuse less
            opset_version=OPSET,
            input_names=traced.names,
            output_names=[OUTPUT],
            dynamic_axes={name: {0: "batch", 1: "tokens"} for name in traced.names} | {OUTPUT: {0: "batch"}},
        )


def _fuse(runtime: TorchRuntime, plain: Path, fused: Path) -> None:
    if isinstance(runtime, StaticEmbeddingRuntime):
        plain.rename(fused)
        return
    transformer: Any = runtime.model[0]
    config = transformer.model.config
    options = FusionOptions("bert")
    options.enable_skip_layer_norm = options.enable_bias_skip_layer_norm = False  # see onnx_runtime.SLOW_FUSIONS
    optimize_model(
        str(plain),
        model_type="bert",
        num_heads=config.num_attention_heads,
        hidden_size=config.hidden_size,
        optimization_options=options,
    ).save_model_to_file(str(fused))


def _quantize(fused: Path, path: Path) -> None:
    """Turn weights into 8 bits; activations are turned at each run, by the range that they have in it.

    Weights are signed and use 7 of the 8 bits: CPUs without VNNI add up two products in 16 bits, which all 8 could overflow.
    """
    # It advises to prepare graphs that were not optimised, and this one was.
    logging.disable(logging.WARNING)
    try:
        quantize_dynamic(
            fused,
            path,
            op_types_to_quantize=list(QUANTIZED_OPERATORS),
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            # The types of what fused operators give are not inferred.
            extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT},
        )
    finally:
        logging.disable(logging.NOTSET)
    if not any(node.op_type in INTEGER_OPERATORS for node in onnx.load(path).graph.node):
        raise ModelUnavailableError("it has no matrix products that could compute in int8")


def _save_with_weights_apart(graph: Path, path: Path) -> None:
    weights = path.with_name(WEIGHTS_FILE)
    # A graph without large weights has none apart.
    weights.touch()
    try:
        onnx.save_model(onnx.load(graph), path, save_as_external_data=True, location=WEIGHTS_FILE)
    except onnx.checker.ValidationError as error:
        # That is how the library says that a file cannot be written; the graph itself was written before.
        raise OSError(f"{weights} cannot be written: {error}") from error
    # The library gives this file to its owner alone.
    weights.chmod(path.stat().st_mode)
