"""The base's own tokenizer: a small byte-level BPE in CLIP's format, for the archive's captions and general words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

from tenfold.core.files import write_json_atomic

START, END = "<|startoftext|>", "<|endoftext|>"
_END_OF_WORD = "</w>"
_GENERAL_WORDS = Path(__file__).with_name("general_words.txt")


def train_tokenizer(captions: Iterable[str], folder: Path, *, vocabulary_size: int, max_length: int) -> CLIPTokenizer:
    """Learn merges, write the tokenizer's files into ``folder`` and load it from there.

    Words of the archive weigh more than general ones, so that a caption's words become single tokens; every byte is
    a token, so that any text in any language can be encoded. Word ends are marked as in CLIP.
    """
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size - 2,
        min_frequency=2,
        special_tokens=[],
        initial_alphabet=_byte_alphabet(),
        end_of_word_suffix=_END_OF_WORD,
        show_progress=False,
    )
    learner = Tokenizer(models.BPE(end_of_word_suffix=_END_OF_WORD))
    learner.normalizer = normalizers.Lowercase()
    learner.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), ByteLevel(add_prefix_space=False)])
    words = Counter(word for caption in captions for word in caption.lower().split())
    corpus = [" ".join([word] * (20 + count.bit_length())) for word, count in sorted(words.items())]
    general = [word for word in _GENERAL_WORDS.read_text(encoding="utf-8").split() if not word.startswith("#")]
    learner.train_from_iterator([*corpus, *(f"{word} {word}" for word in general)], trainer)
    merges = [tuple(pair) for pair in _merges(learner)]
    letters = _byte_alphabet()
    tokens = [
        *letters,
        *(letter + _END_OF_WORD for letter in letters),
        *dict.fromkeys("".join(pair) for pair in merges),
    ]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys([*tokens, START, END]))}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=max_length)
    tokenizer.save_pretrained(folder)
    write_json_atomic(folder / "vocab.json", vocabulary)
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges), encoding="utf-8")
    return tokenizer


def _byte_alphabet() -> list[str]:
    return sorted(ByteLevel.alphabet())


def _merges(learner: Tokenizer) -> list[list[str]]:
    import json

    merges: list[list[str]] = json.loads(learner.to_str())["model"]["merges"]
    return merges
