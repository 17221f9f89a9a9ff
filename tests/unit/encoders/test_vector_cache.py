from __future__ import annotations

from dataclasses import replace

import numpy as np

from vecgate_server.encoders.base import ModelDescription, Role
from vecgate_server.encoders.vector_cache import ENTRY_BYTES, LONGEST_CHARACTERS, CachedVector, VectorCache, text_key

MODEL = ModelDescription("a", "sha256:0", 4, 8, "", "", True, "onnx", "test")


def entry(value: float) -> CachedVector:
    return CachedVector(np.full(4, value, np.float32), 1, 1)


def test_the_entry_not_asked_for_longest_leaves_first_and_the_bytes_stay_in_bounds() -> None:
    size = ENTRY_BYTES + 16
    cache = VectorCache(3 * size)
    for name in b"abc":
        cache.put(bytes([name]), entry(name))
    assert cache.get(b"a") is not None
    cache.put(b"d", entry(4))
    assert [cache.get(key) is not None for key in (b"a", b"b", b"c", b"d")] == [True, False, True, True]
    assert cache.bytes == 3 * size


def test_a_cache_without_room_keeps_nothing() -> None:
    cache = VectorCache(0)
    cache.put(b"a", entry(1))
    assert cache.get(b"a") is None
    assert cache.bytes == 0


def test_vectors_of_another_model_or_prompt_are_dropped() -> None:
    cache = VectorCache(10_000)
    cache.belong_to(MODEL)
    cache.put(b"a", entry(1))
    cache.belong_to(replace(MODEL, source="elsewhere"))
    assert cache.get(b"a") is not None
    cache.belong_to(replace(MODEL, query_prompt="query: "))
    assert cache.get(b"a") is None
    assert cache.bytes == 0


def test_a_key_tells_texts_and_roles_apart() -> None:
    texts = ["", " ", "a", "A", "a\x00", "é", "e\u0301", "\ud800"]
    assert len({text_key(text, role) for text in texts for role in Role}) == 2 * len(texts)
    assert text_key("a" * (LONGEST_CHARACTERS + 1), Role.QUERY) is None
