"""The base's own tokenizer: a small byte-level BPE in CLIP's format, for the archive's captions and general words."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

from tenfold.core.files import write_json_atomic, write_text_atomic

START, END = "<|startoftext|>", "<|endoftext|>"
_END_OF_WORD = "</w>"
_GENERAL_WORDS = Path(__file__).with_name("general_words.txt")


def train_tokenizer(captions: Iterable[str], folder: Path, *, vocabulary_size: int, max_length: int) -> CLIPTokenizer:
    """Learn merges, write the tokenizer's files into ``folder`` and load it from there.

    Words of the archive weigh more than general ones, so that a caption's words become single tokens; every byte is
    a token, with and without an end of word, so that any text in any language can be encoded. ``vocabulary_size``
    counts the bytes, the merges and the two marks of start and end, not the bytes' word-end forms.
    """
    letters = sorted(ByteLevel.alphabet())
    merges = learn_merges(_word_counts(captions), vocabulary_size - len(letters) - 2)
    tokens = [*letters, *(letter + _END_OF_WORD for letter in letters), *("".join(pair) for pair in merges), START, END]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=max_length)
    tokenizer.save_pretrained(folder)
    write_json_atomic(folder / "vocab.json", vocabulary)
    write_text_atomic(folder / "merges.txt", "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    return tokenizer


def learn_merges(word_counts: Mapping[str, int], count: int) -> list[tuple[str, str]]:
    """Byte-pair merges (Sennrich et al. 2016), most frequent pair first, ties by the pair's text; at most ``count``.

    Written out here because the order of ties in `tokenizers` changes from run to run. Pairs seen once are left alone.
    Only words that hold a merged pair are counted again, so that free-text captions cost seconds, not hours.
    """
    words = {word: [*word[:-1], word[-1] + _END_OF_WORD] for word in sorted(word_counts)}
    pairs: Counter[tuple[str, str]] = Counter()
    holders: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for word, parts in words.items():
        for pair in pairwise(parts):
            pairs[pair] += word_counts[word]
            holders[pair].add(word)
    # Counts change after they were queued: what comes up with an old count is passed over.
    queue = [(-number, pair) for pair, number in pairs.items()]
    heapq.heapify(queue)
    merges: list[tuple[str, str]] = []
    while queue and len(merges) < count:
        number, best = heapq.heappop(queue)
        if pairs[best] != -number:
            continue
        if pairs[best] < 2:
            break
        merges.append(best)
        changed: set[tuple[str, str]] = set()
        for word in holders.pop(best):
            before, words[word] = words[word], _merged(words[word], best)
            for pair in pairwise(before):
                pairs[pair] -= word_counts[word]
                changed.add(pair)
            for pair in pairwise(words[word]):
                pairs[pair] += word_counts[word]
                holders[pair].add(word)
                changed.add(pair)
        for pair in changed - {best}:
            heapq.heappush(queue, (-pairs[pair], pair))
    return merges


def _word_counts(captions: Iterable[str]) -> dict[str, int]:
    """Words as the tokenizer will see them (bytes as letters), archive words weighing 20 and more, general ones 2."""
    seen = Counter(word for caption in captions for word in _split(caption))
    counts = {word: 20 + number.bit_length() for word, number in seen.items()}
    for word in _split(_GENERAL_WORDS.read_text(encoding="utf-8")):
        counts[word] = counts.get(word, 0) + 2
    return counts


def _split(text: str) -> list[str]:
    """Lower-case words and signs, each with its bytes written as letters, split as CLIP's tokenizer does."""
    pieces = CLIPTokenizer().backend_tokenizer.pre_tokenizer.pre_tokenize_str(" ".join(text.lower().split()))
    return [piece for piece, _ in pieces]


def _merged(parts: list[str], pair: tuple[str, str]) -> list[str]:
    joined: list[str] = []
    for part in parts:
        if joined and (joined[-1], part) == pair:
            joined[-1] += part
        else:
            joined.append(part)
    return joined
