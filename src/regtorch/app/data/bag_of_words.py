"""Sentences as vectors that mark the words they contain, by the rules of Keras's Tokenizer."""

from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

__all__ = ["present", "vocabulary", "words"]

# An apostrophe is part of a word; other punctuation counts as a space.
_TO_SPACES = str.maketrans(dict.fromkeys('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n', " "))


def words(sentence: str) -> list[str]:
    """Split a sentence into lower-case words.

    >>> words("It's a well-made film .")
    ["it's", 'a', 'well', 'made', 'film']
    """
    return [word for word in sentence.lower().translate(_TO_SPACES).split(" ") if word]


def vocabulary(sentences: Iterable[str], max_words: int) -> dict[str, int]:
    """Number the `max_words - 1` most frequent words from 1, ties by first appearance; 0 is unused."""
    counts = Counter(word for sentence in sentences for word in words(sentence))
    return {word: number for number, (word, _) in enumerate(counts.most_common(max_words - 1), start=1)}


def present(sentences: Sequence[str], numbers: dict[str, int], max_words: int) -> Tensor:
    """Mark the words of each sentence; unknown words are dropped.

    Returns:
        (N, max_words), bool: an eighth of the memory of Keras's float64.
    """
    found = [[numbers[word] for word in words(sentence) if word in numbers] for sentence in sentences]
    rows = torch.repeat_interleave(torch.arange(len(found)), torch.tensor([len(row) for row in found]))
    columns = torch.tensor([number for row in found for number in row], dtype=torch.int64)
    bags = torch.zeros(len(sentences), max_words, dtype=torch.bool)
    bags[rows, columns] = True
    return bags
