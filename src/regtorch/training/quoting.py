"""A value as Hydra reads it back."""

from hydra.core.override_parser.types import Quote, QuotedString

__all__ = ["quoted"]


def quoted(text: object) -> str:
    """A text in quotes: blanks, commas and the like are the grammar's of overrides."""
    return QuotedString(str(text), Quote.single).with_quotes()
