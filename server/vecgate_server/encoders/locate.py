"""Where a model's files are: a configured path, an installed package, the local cache, or the hub, in this order."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from vecgate_server.encoders.catalogue import CATALOGUE, PublishedModel
from vecgate_server.encoders.model_files import SETTINGS_SUFFIXES, WEIGHT_FORMS, is_complete, sha256_of, weight_files
from vecgate_server.errors import ModelUnavailableError

logger = logging.getLogger(__name__)

# Seconds without an answer after which the hub counts as out of reach.
HUB_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class ModelLocation:
    """A model's directory and, for people, where it came from."""

    directory: Path
    source: str


def locate(
    name: str, *, path: Path | None = None, cache_directory: Path | None = None, hub_endpoint: str | None = None
) -> ModelLocation:
    """Find a model's files, downloading them from the hub if they are nowhere nearer. Blocks.

    Args:
        name: a name of the catalogue, or "owner/name" on the hub; with a path, any name.
        path: the model's directory; nothing else is tried then, and its weights may be anything.
        cache_directory: the Hugging Face cache; None means the library's own.
        hub_endpoint: address of the hub; None means the library's own.

    Raises:
        ModelUnavailableError: it was not found, or its weights are not the published ones.
    """
    if path is not None:
        if not path.is_dir():
            raise ModelUnavailableError(f"model {name}: {path} is not a directory")
        return ModelLocation(path, f"path {path}")
    published = CATALOGUE.get(name)
    if published is None and "/" not in name:
        raise ModelUnavailableError(
            f"model {name} has no path, is not one of {', '.join(CATALOGUE)}, and is not an owner/name on the hub"
        )
    model = published or PublishedModel(hub_id=name, revision=None, dimension=0, max_tokens=0)
    location = next(_candidates(name, model, cache_directory, hub_endpoint))
    _check_weights(name, model, location)
    return location


def _candidates(
    name: str, model: PublishedModel, cache_directory: Path | None, hub_endpoint: str | None
) -> Iterator[ModelLocation]:
    """Yield the places that hold the model, nearest first; the hub is asked only by who reads on to the last."""
    packaged = _in_package(model)
    if packaged is not None:
        yield packaged
    cached = _in_cache(model, cache_directory)
    if cached is not None:
        yield cached
    yield _from_hub(name, model, cache_directory, hub_endpoint)


def _in_package(model: PublishedModel) -> ModelLocation | None:
    if model.package is None:
        return None
    # A spec of a top-level module is found without importing the module.
    spec = find_spec(model.package.module)
    if spec is None or not spec.submodule_search_locations:
        return None
    directory = Path(spec.submodule_search_locations[0]) / model.package.directory
    if not is_complete(directory):
        return None
    distribution = model.package.distribution
    return ModelLocation(directory, f"package {distribution} {metadata.version(distribution)}")


# The hub's client takes a sixth of a warm start to import, and a packaged model needs none.


def _in_cache(model: PublishedModel, cache_directory: Path | None) -> ModelLocation | None:
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415  # see above

    # Offline, a copy of the main branch is better than no model, and its commit is told.
    for revision in dict.fromkeys((model.revision, None)):
        for root_file in ("modules.json", "config.json"):  # a cross-encoder may have the second one alone
            found = try_to_load_from_cache(
                model.hub_id, root_file, cache_dir=cache_directory, revision=revision, repo_type="model"
            )
            if isinstance(found, str) and is_complete(Path(found).parent):
                directory = Path(found).parent
                return ModelLocation(directory, f"cache {model.hub_id}@{directory.name}")
    return None


def _from_hub(
    name: str, model: PublishedModel, cache_directory: Path | None, hub_endpoint: str | None
) -> ModelLocation:
    from huggingface_hub import HfApi, snapshot_download  # noqa: PLC0415  # see above
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError  # noqa: PLC0415  # see above

    logger.info("model %s is not on this machine; asking the hub for %s", name, model.hub_id)
    try:
        info = HfApi(endpoint=hub_endpoint).model_info(model.hub_id, revision=model.revision, timeout=HUB_TIMEOUT)
        directory = snapshot_download(
            model.hub_id,
            revision=model.revision,
            cache_dir=cache_directory,
            endpoint=hub_endpoint,
            etag_timeout=HUB_TIMEOUT,
            allow_patterns=_files_to_fetch([sibling.rfilename for sibling in info.siblings or ()]),
        )
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        revision = model.revision or "main"
        raise ModelUnavailableError(f"model {name}: the hub has no {model.hub_id} at {revision}") from error
    except Exception as error:
        # The hub's client raises what its HTTP library, the file system and TLS raise; all mean the same here.
        raise ModelUnavailableError(
            f"model {name} is not on this machine and the hub cannot be reached ({type(error).__name__}); give its "
            f"directory as path, or put {model.hub_id} into the local cache"
        ) from error
    return ModelLocation(Path(directory), f"hub {model.hub_id}@{Path(directory).name}")


def _files_to_fetch(names: Sequence[str]) -> list[str]:
    """Choose the settings and, of each directory, one form of the weights; repositories carry several."""
    wanted = []
    for directory in {PurePosixPath(name).parent for name in names}:
        here = [path for path in map(PurePosixPath, names) if path.parent == directory]
        if directory.name in {"onnx", "openvino"}:
            continue
        wanted += [path for path in here if path.suffix in SETTINGS_SUFFIXES]
        for marker, patterns in WEIGHT_FORMS:
            if any(path.name == marker for path in here):
                wanted += [path for path in here if any(path.match(pattern) for pattern in patterns)]
                break
    return sorted({str(path) for path in wanted})


def _check_weights(name: str, model: PublishedModel, location: ModelLocation) -> None:
    if model.weights_sha256 is None:
        return
    digests = [sha256_of(path) for path in weight_files(location.directory)]
    if digests != [model.weights_sha256]:
        raise ModelUnavailableError(
            f"model {name}: the weights from {location.source} are not the published ones "
            f"(SHA-256 {', '.join(digests)}, not {model.weights_sha256})"
        )
