"""docs/keras_layers.md has what the code has."""

from __future__ import annotations

import pytest

import keras_page

pytest.importorskip("keras")


def test_the_page_of_layers_is_that_of_the_code():
    text = keras_page.PAGE.read_text(encoding="utf-8")
    assert text == keras_page.page(), "run: python tests/keras_page.py"
