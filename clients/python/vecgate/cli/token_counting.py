"""How many tokens a text has, so that pieces of it fit into what the model reads.

The model is at the server, and counting there would mean a call for each place where a text might be cut. So tokens are counted
here: by the model's own tokenizer where its tokenizer.json is at hand, else by an estimate that is rather too high.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from vecgate.cli.faults import InputFault

TokenCounter = Callable[[str], int]

WORD_OR_SIGN = re.compile(r"[A-Za-z]+|[À-ɏ]+|[0-9]+|\S")
LETTERS_A_TOKEN = 3
"""Letters of a word that the estimate takes for one token. A token of English has more on average, since vocabularies hold its
frequent words whole; German read by an English vocabulary has about so many. docs/cli.md tells how the estimate compares."""
OTHERS_A_TOKEN = 2
"""The same for digits, and for letters with accents."""
SPECIAL_TOKENS = 2
"""What models put around a text: [CLS] and [SEP], or the like."""


def estimated_tokens(text: str) -> int:
    """Count tokens by the look of words: for English rather too many; signs and letters of other scripts count one each."""
    return sum(map(_pieces, WORD_OR_SIGN.findall(text)))


def _pieces(word: str) -> int:
    return -(-len(word) // (LETTERS_A_TOKEN if word[0].isascii() and word[0].isalpha() else OTHERS_A_TOKEN))


def tokenizer_counter(path: Path) -> TokenCounter:
    """Count with a tokenizer.json, special tokens left out.

    Raises:
        InputFault: the package tokenizers is not installed, or the file is none of its.
    """
    try:
        from tokenizers import Tokenizer  # noqa: PLC0415  # an extra, needed with --tokenizer only
    except ModuleNotFoundError as missing:
        raise InputFault("--tokenizer needs the package tokenizers", "pip install tokenizers") from missing
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the package raises Exception itself
        raise InputFault(f"{path}: not a tokenizer.json: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)
