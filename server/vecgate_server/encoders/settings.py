"""The settings of a server's models: which there are and how they run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from vecgate_server.encoders.catalogue import CATALOGUE, DEFAULT_MODEL

CPU = "cpu"
# The numbers of EncoderSettings and the smallest value of each.
LOWEST = {
    "workers": 1,
    "threads": 0,
    "memory_budget_mib": 0,
    "cache_mib": 0,
    "micro_batch_tokens": 1,
    "queue_tokens": 1,
}


class RuntimeChoice(StrEnum):
    """What runs the forward pass: ONNX Runtime, torch, or the faster one that can."""

    AUTO = "auto"
    ONNX = "onnx"
    TORCH = "torch"


class Precision(StrEnum):
    """The precision class of a forward pass; vectors of two classes are not compared.

    INT8: weights and activations of the matrix products in 8 bits, the rest in fp32.
    """

    FP32 = "fp32"
    INT8 = "int8"


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """One model.

    Attributes:
        name: what requests call it: a name of the catalogue, "owner/name" on the hub or, with a path, any name.
        path: its directory, a sentence-transformers model or a served form; None looks in the installed packages, the
            local cache and the hub.
        precision: in what it computes; None means that of EncoderSettings. A served form has the one it was made in.
        matryoshka_dimensions: shorter lengths that its vectors may be cut to, beside those that the model itself declares.
    """

    name: str
    path: Path | None = None
    precision: Precision | None = None
    matryoshka_dimensions: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """The models of a server and how they run.

    Attributes:
        default: the model of requests that name none; one of models.
        models: every model that requests may name.
        preload: names of the models that start() loads; the others are loaded at their first use.
        runtime: what runs them. AUTO takes ONNX Runtime on a CPU where the model's graph can be made and gives torch's
            vectors, and torch otherwise; ONNX refuses models that it cannot run.
        precision: in what models compute. Torch, where it takes the place of ONNX Runtime, has FP32 alone, so a model asked
            for in INT8 is refused there.
        workers: processes that run each model.
        threads: CPU threads of a run in one worker; 0 divides the cores by the workers.
        memory_budget_mib: MiB that the workers of all models may take; past it the model not used for longest is unloaded,
            but none of preload. 0 means no limit.
        cache_mib: MiB of vectors of texts seen lately, for each model; 0 means none.
        device: where models run, such as "cpu" or "cuda"; ONNX takes "cpu" alone.
        micro_batch_tokens: budget of one run of a model: rows times the longest text. Small values serve queries sooner
            while documents are encoded.
        queue_tokens: most tokens that may wait for a model, of queries and of documents each.
        cache_directory: the Hugging Face cache; None means the library's own.
        hub_endpoint: address of the hub; None means the library's own.
        graph_directory: where graphs are kept once they were made; None means the user's cache.

    Raises:
        ValueError: a name is there twice, default or preload names a model that is not in models, a number is out of
            range, or runtime and device do not go together.
    """

    default: str = DEFAULT_MODEL
    models: tuple[ModelSettings, ...] = tuple(ModelSettings(name) for name in CATALOGUE)
    preload: tuple[str, ...] = (DEFAULT_MODEL,)
    runtime: RuntimeChoice = RuntimeChoice.AUTO
    precision: Precision = Precision.FP32
    workers: int = 1
    threads: int = 0
    memory_budget_mib: int = 0
    cache_mib: int = 64
    device: str = "cpu"
    micro_batch_tokens: int = 512
    queue_tokens: int = 1_048_576
    cache_directory: Path | None = None
    hub_endpoint: str | None = None
    graph_directory: Path | None = None

    def __post_init__(self) -> None:
        names = [model.name for model in self.models]
        if len(set(names)) != len(names):
            raise ValueError(f"a model is configured twice: {', '.join(sorted(names))}")
        for name in (self.default, *self.preload):
            if name not in names:
                raise ValueError(f"model {name} is not one of the configured ones: {', '.join(names)}")
        for setting, lowest in LOWEST.items():
            if getattr(self, setting) < lowest:
                raise ValueError(f"{setting} must be at least {lowest}")
        if self.runtime is RuntimeChoice.ONNX and self.device != CPU:
            raise ValueError(f"runtime onnx runs on {CPU}, not on {self.device}")
