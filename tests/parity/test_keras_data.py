"""What Keras's own preprocessing makes of the same words and images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from comparing import Compare
from keras.src.legacy.preprocessing.text import Tokenizer

import keras
from image_files import encoded
from regtorch.app.data.bag_of_words import present, vocabulary
from regtorch.app.data.decode import decode


@pytest.mark.parity("bag of words: texts_to_matrix(mode='binary')", "Keras 3's Tokenizer")
@pytest.mark.parametrize("max_words", [2, 5, 40])
def test_bag_of_words(max_words: int, compare: Compare):
    rng = np.random.default_rng(0)
    alphabet = [*"abcdefghijklmnopqrstuvwxyz", "it's", "A", "well-made", "(no)", "\u00e9", ",", "", "x\ty"]
    texts = [" ".join(rng.choice(alphabet, size)) for size in rng.integers(0, 12, 60)]
    theirs = Tokenizer(num_words=max_words)
    theirs.fit_on_texts(texts[:40])
    numbers = vocabulary(texts[:40], max_words)
    compare(present(texts, numbers, max_words), theirs.texts_to_matrix(texts, mode="binary"), within=0)


@pytest.mark.parity("images of a folder: load_img(target_size, {interpolation})", "Keras 3")
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("size", [(20, 30), (150, 150), (7, 5)])
def test_images(size: tuple[int, int], interpolation: str, tmp_path: Path, compare: Compare):
    content = encoded(1, 40, 61, "JPEG")
    (tmp_path / "x.jpg").write_bytes(content)
    theirs = keras.utils.load_img(tmp_path / "x.jpg", target_size=size, interpolation=interpolation)
    compare(decode(content, size, interpolation), np.asarray(theirs), within=0)
