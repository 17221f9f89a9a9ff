"""Texts to tokens by the model's own fast tokenizer, at a cost bounded by what the model reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
from tokenizers import Encoding, Tokenizer

from vecgate_server.encoders.base import Role
from vecgate_server.encoders.tokenized_text import TokenizedText

# Word pieces of prose have 4 to 5 characters, so one prefix of this many for each token is nearly always enough.
CHARACTERS_A_TOKEN = 8
PREFIX_GROWTH = 4
SHORT_CHARACTERS = 1_000
LONG_QUERY = 4
# Steps that treat each character, or each character with the combining marks after it, on its own.
LOCAL_NORMALIZERS = frozenset({"BertNormalizer", "Lowercase"})
# Steps that split at every blank and every punctuation mark, whatever stands around them.
LOCAL_PRE_TOKENIZERS = frozenset({"BertPreTokenizer"})


class TextTokenizer:
    """Tokenizes as sentence-transformers does: prompt before the text, cut at the model's maximum.

    A text much longer than the model reads is tokenized from a prefix, if the tokenizer works word by word. Then the
    words of a prefix are the words of the whole text, but for the last ones: the cut may lie inside a word, between a
    letter and its combining mark, or inside the spelling of an added token such as "[SEP]", which reaches back at most
    as many words as the spelling has characters. So a prefix is enough once the words before those hold more tokens
    than the model reads; until then it grows. Tokenizers that look further than a word get the whole text.

    It can be pickled.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        max_tokens: int,
        prompts: Mapping[Role, str],
        truncation_side: Literal["left", "right"] = "right",
        adds_special_tokens: bool = True,
        prefix_characters: int | None = None,
    ) -> None:
        """Configure a copy of the tokenizer.

        Args:
            tokenizer: the model's; it is not changed.
            max_tokens: most tokens read of one text, special tokens included.
            prompts: what is put before texts, by role; none means nothing.
            truncation_side: the side that is cut off.
            adds_special_tokens: whether the model reads special tokens around a text.
            prefix_characters: length of the first prefix; by default enough for nearly every text.

        Raises:
            ValueError: max_tokens leaves no room beside the special tokens.
        """
        specification = json.loads(tokenizer.to_str())
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens, direction=truncation_side)
        self._adds_special_tokens = adds_special_tokens
        self._special_tokens = self._tokenizer.num_special_tokens_to_add(is_pair=False) if adds_special_tokens else 0
        if max_tokens <= self._special_tokens:
            raise ValueError(f"{max_tokens} tokens leave no room beside {self._special_tokens} special tokens")
        self._max_tokens = max_tokens
        self._prompts = prompts
        self._doubtful_words = max((len(token["content"]) for token in specification["added_tokens"]), default=0) + 1
        self._prefix_characters = (
            (prefix_characters or max_tokens * CHARACTERS_A_TOKEN)
            if truncation_side == "right" and _works_word_by_word(specification)
            else None
        )

    def tokenize(self, texts: Sequence[str], role: Role) -> list[TokenizedText]:
        """Tokenize texts; item i belongs to texts[i]. Safe to call from several threads."""
        prompt = self._prompts.get(role, "")
        whole = [prompt + text for text in texts] if prompt else texts
        read = self._read(self._tokenizer, whole, add_special_tokens=self._adds_special_tokens)
        return [_tokenized(encoding, counted) for encoding, counted in read]

    def tokenize_pairs(self, query: str, texts: Sequence[str]) -> list[TokenizedText]:
        """Tokenize the query with each text, as a cross-encoder reads them; item i belongs to texts[i].

        Of a pair that is too long the longer one is cut, until both are equally long, and the longer one keeps an odd token.
        For that a text is read until it is longer than what was read of the query. A query of more than LONG_QUERY times
        what the model reads is itself read in part, so a shorter text may keep the odd token in its place.
        Safe to call from several threads.
        """
        [(query_encoding, query_tokens)] = self._read(
            self._uncut_tokenizer,
            [self._prompts.get(Role.QUERY, "") + query],
            add_special_tokens=False,
            at_least=LONG_QUERY * self._max_tokens,
        )
        fixed = query_tokens + self._tokenizer.num_special_tokens_to_add(is_pair=True)
        return [
            _tokenized(self._tokenizer.post_process(query_encoding, encoding), fixed + tokens)
            for encoding, tokens in self._read(
                self._uncut_tokenizer, texts, add_special_tokens=False, at_least=query_tokens
            )
        ]

    @cached_property
    def _uncut_tokenizer(self) -> Tokenizer:
        """The tokenizer without truncation, since how far one of a pair is cut depends on the other."""
        uncut = Tokenizer.from_str(self._tokenizer.to_str())
        uncut.no_truncation()
        return uncut

    def _read(
        self, tokenizer: Tokenizer, whole: Sequence[str], *, add_special_tokens: bool, at_least: int = 0
    ) -> list[tuple[Encoding, int]]:
        """Encode texts, or as much of each as holds more tokens than the model reads and at_least, and count them."""
        wanted = max(self._max_tokens, at_least)
        special_tokens = self._special_tokens if add_special_tokens else 0
        read: dict[int, tuple[Encoding, int]] = {}
        unread = list(range(len(whole)))
        prefix_characters = self._prefix_characters
        while unread:
            prefixes = [whole[position][:prefix_characters] for position in unread]
            encodings = (
                tokenizer.encode_batch(prefixes, add_special_tokens=add_special_tokens)
                if len(prefixes) > 1 or len(prefixes[0]) > SHORT_CHARACTERS
                # A batch wakes threads, which takes a query longer than to be read; this holds the interpreter's lock.
                else [tokenizer.encode(prefixes[0], add_special_tokens=add_special_tokens)]
            )
            for position, prefix, encoding in zip(unread, prefixes, encodings, strict=True):
                is_whole = len(prefix) == len(whole[position])
                counted = special_tokens + (
                    _count(encoding, special_tokens) if is_whole else self._count_certain(encoding)
                )
                if is_whole or counted > wanted:
                    read[position] = encoding, counted
            unread = [position for position in unread if position not in read]
            if prefix_characters is not None:
                prefix_characters *= PREFIX_GROWTH
        return [read[position] for position in range(len(whole))]

    def _count_certain(self, encoding: Encoding) -> int:
        """Count the tokens of a prefix that are the same however the text goes on, special tokens left out."""
        words = [word for part in (encoding, *encoding.overflowing) for word in part.word_ids if word is not None]
        last_certain = max(words, default=0) - self._doubtful_words
        return sum(word <= last_certain for word in words)


def _count(encoding: Encoding, special_tokens: int) -> int:
    """Count the tokens of a whole text, special tokens left out."""
    return sum(len(part.ids) - special_tokens for part in (encoding, *encoding.overflowing))


def _tokenized(encoding: Encoding, counted: int) -> TokenizedText:
    return TokenizedText(
        token_ids=np.array(encoding.ids, dtype=np.int32),
        type_ids=np.array(encoding.type_ids, dtype=np.int32),
        counted=counted,
    )


def _works_word_by_word(specification: Mapping[str, Any]) -> bool:
    return (
        _steps(specification["normalizer"], "normalizers") <= LOCAL_NORMALIZERS
        and bool(specification["pre_tokenizer"])
        and _steps(specification["pre_tokenizer"], "pretokenizers") <= LOCAL_PRE_TOKENIZERS
    )


def _steps(step: Mapping[str, Any] | None, children: str) -> frozenset[str]:
    """Name the kinds of steps in a tokenizer's description, sequences opened."""
    if step is None:
        return frozenset()
    if step["type"] == "Sequence":
        return frozenset[str]().union(*(_steps(child, children) for child in step[children]))
    return frozenset({step["type"]})
