"""Token counts for requests whose upstream reported none: bytes of text times the alias's own tokens per byte.

The ratios are learned from reported rows. No tokenizer, no vocabulary, no clock, no file; memory is four numbers an
alias, for a bounded number of them.
"""

from dataclasses import dataclass
from typing import Final

#: Tokens per byte before anything was learned: about right for English under the common vocabularies.
FIRST_RATIO: Final = 0.25

# What is known counts as this many bytes of FIRST_RATIO, so that one odd short request moves little.
_FIRST_WEIGHT: Final = 2_000.0
# Each observation leaves this share of the older ones' weight: about the last hundred requests speak.
_DECAY: Final = 0.99
# Samples outside are not about the text: an image in the prompt, or an answer that is nearly all hidden reasoning.
_LEAST: Final = 0.015625  # 1 / 64
_MOST: Final = 4.0


@dataclass(slots=True)
class _Ratio:
    tokens: float = FIRST_RATIO * _FIRST_WEIGHT
    text: float = _FIRST_WEIGHT

    def learn(self, text: int, tokens: int) -> None:
        if text > 0 and _LEAST <= tokens / text <= _MOST:
            self.tokens = self.tokens * _DECAY + tokens
            self.text = self.text * _DECAY + text

    def apply(self, text: int) -> int:
        # Up, not off: text was seen, so at least one token was.
        return -int(-text * self.tokens // self.text) if text > 0 else 0


class Estimator:
    """Tokens-per-byte ratios, for input and output, of each alias."""

    def __init__(self, *, aliases: int = 10_000) -> None:
        """`aliases` bounds the memory: those beyond it share one entry."""
        self._limit = aliases
        self._ratios: dict[str, tuple[_Ratio, _Ratio]] = {}
        self._others = (_Ratio(), _Ratio())

    def observe(self, alias: str, text_in: int, input_tokens: int, text_out: int, output_tokens: int) -> None:
        """Learn from a row with reported usage: `text_in` and `text_out` are bytes of text."""
        pair = self._ratios.get(alias)
        if pair is None:
            if len(self._ratios) < self._limit:
                pair = self._ratios[alias] = (_Ratio(), _Ratio())
            else:
                pair = self._others
        pair[0].learn(text_in, input_tokens)
        pair[1].learn(text_out, output_tokens)

    def estimate(self, alias: str, text_in: int, text_out: int) -> tuple[int, int]:
        """Input and output tokens for so many bytes of text."""
        pair = self._ratios.get(alias, self._others)
        return pair[0].apply(text_in), pair[1].apply(text_out)
