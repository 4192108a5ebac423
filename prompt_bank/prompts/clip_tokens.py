"""CLIP's tokenizer without torch: the byte-pair encoding of Radford et al. (2021), equal to open_clip's.

The vocabulary is read from the installed package open_clip_torch, without importing it (it imports torch).
"""

from __future__ import annotations

import gzip
import html
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import ftfy
import regex
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"
MERGE_COUNT = 49152 - 256 - 2
"""The number of merges that CLIP uses: the vocabulary size less the byte tokens and the two special tokens."""

START, END = "<start_of_text>", "<end_of_text>"
WORD = regex.compile(
    rf"{START}|{END}|'s|'t|'re|'ve|'m|'ll|'d|[\p{{L}}]+|[\p{{N}}]|[^\s\p{{L}}\p{{N}}]+", regex.IGNORECASE
)
END_OF_WORD = "</w>"


def token_ids(text: str) -> tuple[int, ...]:
    """The token ids of a text, without [SOS] and [EOT], as open_clip's `SimpleTokenizer.encode` gives them.

    Raises:
        FileNotFoundError: open_clip_torch, which contains the vocabulary, is not installed.
    """
    cleaned = html.unescape(html.unescape(ftfy.fix_text(text)))
    words = WORD.findall(" ".join(cleaned.split()).lower())
    return tuple(token for word in words for token in _word_tokens(word))


def special_tokens() -> tuple[int, int]:
    """The ids of [SOS] and [EOT]."""
    ids = _vocabulary()[0]
    return ids[START], ids[END]


@cache
def _word_tokens(word: str) -> tuple[int, ...]:
    ids, bpe = _vocabulary()
    if word in (START, END):
        return (ids[word],)
    characters = "".join(part for part, _ in ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(word))
    return tuple(token.id for token in bpe.tokenize(characters))


@cache
def _vocabulary() -> tuple[dict[str, int], BPE]:
    """The token ids and the BPE model. The order is open_clip's: bytes, word-final bytes, merges, special tokens."""
    spec = find_spec("open_clip")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(2, "CLIP's vocabulary is missing: pip install open_clip_torch", VOCABULARY)
    lines = gzip.decompress((Path(spec.submodule_search_locations[0]) / VOCABULARY).read_bytes()).decode().split("\n")
    merges: list[tuple[str, str]] = []
    for line in lines[1 : MERGE_COUNT + 1]:
        first, second = line.split()
        merges.append((first, second))
    characters = _byte_characters()
    known = [*characters, *(character + END_OF_WORD for character in characters), *map("".join, merges), START, END]
    ids = {token: number for number, token in enumerate(known)}
    return ids, BPE(ids, merges, end_of_word_suffix=END_OF_WORD)


def _byte_characters() -> list[str]:
    """A printable character for each of the 256 bytes, in the order of the vocabulary: printable bytes first."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [*map(chr, printable), *(chr(256 + number) for number in range(256 - len(printable)))]
