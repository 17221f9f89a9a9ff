from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE, WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer, ByteLevel, PreTokenizer
from tokenizers.processors import TemplateProcessing

from vecgate_server.encoders.base import Role
from vecgate_server.encoders.tokenizer import TextTokenizer

PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "<<end>>",
    "a",
    "b",
    "ab",
    "##a",
    "##b",
    "##ab",
    "[",
    "]",
    "e",
    "s",
    "n",
    "日",
]
# Everything that may make the end of a prefix read differently: control characters that vanish, combining marks,
# spellings of added tokens, punctuation, scripts that are split by character, and blanks.
FRAGMENTS = [
    "a",
    "b",
    "ab",
    " ",
    "\n",
    "\x00",
    "\u0301",
    "é",
    "[",
    "[SEP]",
    "[SE",
    "P]",
    "<<end>>",
    "<<en",
    "d>>",
    ".",
    "日",
]
TEXTS = st.lists(st.sampled_from(FRAGMENTS), max_size=60).map("".join)


def _word_pieces(pre_tokenizer: PreTokenizer | None = None) -> Tokenizer:
    tokenizer = Tokenizer(WordPiece({piece: index for index, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizer or BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    tokenizer.add_special_tokens([AddedToken("<<end>>", normalized=True)])
    return tokenizer


def _whole(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text).ids
    return ids


@given(text=TEXTS, prefix_characters=st.integers(1, 20), max_tokens=st.integers(3, 12))
def test_a_prefix_gives_the_tokens_of_the_whole_text(text: str, prefix_characters: int, max_tokens: int) -> None:
    tokenizer = _word_pieces()
    [read] = TextTokenizer(tokenizer, max_tokens=max_tokens, prompts={}, prefix_characters=prefix_characters).tokenize(
        [text], Role.DOCUMENT
    )
    whole = _whole(tokenizer, text)
    assert read.truncated == (len(whole) > max_tokens)
    expected = whole if not read.truncated else [*whole[: max_tokens - 1], whole[-1]]
    assert read.token_ids.tolist() == expected
    assert (read.counted == len(whole)) if not read.truncated else (max_tokens < read.counted <= len(whole))


def test_a_long_text_is_read_from_a_prefix() -> None:
    tokenizer = TextTokenizer(_word_pieces(), max_tokens=8, prompts={})
    [read] = tokenizer.tokenize(["a " * 1_000_000], Role.QUERY)
    assert read.truncated
    assert len(read) == 8
    assert read.counted < 1000


def test_a_long_text_of_few_tokens_is_not_called_too_long() -> None:
    [read] = TextTokenizer(_word_pieces(), max_tokens=8, prompts={}).tokenize(
        ["a" * 5000 + " " * 5000 + "b"], Role.QUERY
    )
    assert not read.truncated
    assert read.counted == 4


@pytest.mark.parametrize("text", ["", " ", "a b", "a " * 100])
def test_a_tokenizer_that_looks_beyond_words_gets_the_whole_text(text: str) -> None:
    byte_level = Tokenizer(BPE({"a": 0, "b": 1, "Ġ": 2, "aĠ": 3, "aĠa": 4}, [("a", "Ġ"), ("aĠ", "a")]))
    byte_level.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=False)
    [read] = TextTokenizer(byte_level, max_tokens=5, prompts={}, prefix_characters=3).tokenize([text], Role.QUERY)
    whole = _whole(byte_level, text)
    assert read.counted == len(whole)
    assert read.token_ids.tolist() == whole[:5]


def test_the_left_side_is_cut_off_where_the_model_says_so() -> None:
    tokenizer = TextTokenizer(_word_pieces(), max_tokens=4, prompts={}, truncation_side="left", prefix_characters=2)
    [read] = tokenizer.tokenize(["a a a a a b ab"], Role.QUERY)
    assert read.token_ids.tolist() == [2, PIECES.index("b"), PIECES.index("ab"), 3]
    assert read.counted == 9


def test_the_prompt_of_the_role_stands_before_the_text() -> None:
    tokenizer = TextTokenizer(_word_pieces(), max_tokens=8, prompts={Role.QUERY: "a b "})
    [query], [document] = (tokenizer.tokenize(["ab"], role) for role in (Role.QUERY, Role.DOCUMENT))
    assert query.token_ids.tolist() == _whole(_word_pieces(), "a b ab")
    assert document.token_ids.tolist() == _whole(_word_pieces(), "ab")


def test_texts_keep_their_order_whatever_their_lengths() -> None:
    tokenizer = TextTokenizer(_word_pieces(), max_tokens=6, prompts={}, prefix_characters=4)
    texts = ["", "a " * 50, "b", "ab " * 3, "a", "日" * 40]
    assert [read.token_ids.tolist()[:-1] for read in tokenizer.tokenize(texts, Role.QUERY)] == [
        _whole(_word_pieces(), text)[:-1][:5] for text in texts
    ]


@given(query=TEXTS, text=TEXTS, prefix_characters=st.integers(8, 20), max_tokens=st.integers(5, 12))
def test_a_pair_gives_the_tokens_of_the_whole_pair(
    query: str, text: str, prefix_characters: int, max_tokens: int
) -> None:
    tokenizer = _word_pieces()
    reads = TextTokenizer(tokenizer, max_tokens=max_tokens, prompts={}, prefix_characters=prefix_characters)
    whole = tokenizer.encode(query, text)
    query_tokens = len(tokenizer.encode(query, add_special_tokens=False).ids)
    [read] = reads.tokenize_pairs(query, [text])
    tokenizer.enable_truncation(max_tokens)
    expected = tokenizer.encode(query, text)
    assert read.truncated == (len(whole.ids) > max_tokens)
    if not read.truncated:
        assert read.counted == len(whole.ids)
    if query_tokens <= 4 * max_tokens:
        assert read.token_ids.tolist() == expected.ids
        assert read.type_ids.tolist() == expected.type_ids
    else:
        assert len(read) == max_tokens


def test_a_pair_of_long_texts_is_read_from_a_prefix() -> None:
    tokenizer = TextTokenizer(_word_pieces(), max_tokens=8, prompts={})
    [read] = tokenizer.tokenize_pairs("a " * 1_000_000, ["b " * 1_000_000])
    assert read.truncated
    assert len(read) == 8
    assert read.counted < 2000
    assert {PIECES.index("a"), PIECES.index("b")} < set(read.token_ids.tolist())


def test_the_prompt_stands_before_the_query_of_a_pair() -> None:
    tokenizer = TextTokenizer(_word_pieces(), max_tokens=12, prompts={Role.QUERY: "a b "})
    [read] = tokenizer.tokenize_pairs("ab", ["s"])
    assert read.token_ids.tolist() == _word_pieces().encode("a b ab", "s").ids


def test_without_special_tokens_none_are_read_or_counted() -> None:
    tokenizer = TextTokenizer(_word_pieces(), max_tokens=3, prompts={}, adds_special_tokens=False)
    empty, exact, long = tokenizer.tokenize(["", "a b a", "a b a b"], Role.QUERY)
    assert (empty.counted, exact.counted, long.counted) == (0, 3, 4)
    assert (exact.truncated, long.truncated) == (False, True)
    assert long.token_ids.tolist() == [PIECES.index(piece) for piece in "aba"]


class RecordingTokenizer:
    """A tokenizer that remembers which of its methods read a text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.readings: list[str] = []

    def __getattr__(self, name: str) -> Any:  # the types of what it wraps
        if name.startswith("encode"):
            self.readings.append(name)
        return getattr(self._tokenizer, name)


@pytest.mark.parametrize(("text", "reading"), [("a b", "encode"), ("a " * 1_000, "encode_batch")])
def test_a_long_text_is_read_by_what_releases_the_lock_of_the_interpreter(
    monkeypatch: pytest.MonkeyPatch, text: str, reading: str
) -> None:
    tokenizer = TextTokenizer(_word_pieces(), max_tokens=512, prompts={})
    recording = RecordingTokenizer(tokenizer._tokenizer)
    monkeypatch.setattr(tokenizer, "_tokenizer", recording)
    tokenizer.tokenize([text], Role.DOCUMENT)
    assert recording.readings == [reading]


def test_a_tokenizer_needs_none_of_the_libraries_that_run_models() -> None:
    program = (
        "import sys; import vecgate_server.encoders.tokenizer; "
        "print(sorted({'torch', 'transformers', 'sentence_transformers', 'onnxruntime'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.strip() == "[]"


def test_a_pickled_tokenizer_reads_the_same() -> None:
    tokenizer = TextTokenizer(_word_pieces(), max_tokens=6, prompts={Role.QUERY: "a "}, prefix_characters=9)
    copy = pickle.loads(pickle.dumps(tokenizer))  # it was made here
    texts = ["", "ab [SEP] é", "a b " * 40]
    for ours, theirs in zip(copy.tokenize(texts, Role.QUERY), tokenizer.tokenize(texts, Role.QUERY), strict=True):
        assert ours.token_ids.tolist() == theirs.token_ids.tolist()
        assert ours.counted == theirs.counted


def test_a_maximum_without_room_for_text_is_refused() -> None:
    with pytest.raises(ValueError, match="no room"):
        TextTokenizer(_word_pieces(), max_tokens=2, prompts={})
