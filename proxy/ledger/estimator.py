"""Token counts for requests whose upstream reported none: bytes of text times the tokens per byte of a key's alias.

The ratios are learned from reported rows, by key and alias: what one key sends must not change what another is billed.
No tokenizer, no vocabulary, no clock, no file; memory is four numbers for each pair, of which there is a most.
"""

from dataclasses import dataclass
from typing import Final

#: Tokens per byte before anything was learned: about right for English under the common vocabularies.
FIRST_RATIO: Final = 0.25

#: The requests of a process from which is learned: so many first ones, and one of so many later ones. To see whether a
#: body is text costs a tenth of a small request's time.
LEARN_ALL: Final = 1_000
LEARN_EACH: Final = 8

# The same as bytes per token.
_FIRST_BYTES: Final = 4
# What is known counts as this many bytes of FIRST_RATIO, so that one odd short request moves little.
_FIRST_WEIGHT: Final = 2_000.0
# Each observation leaves this share of the older ones' weight: about the last hundred requests speak.
_DECAY: Final = 0.99
# Samples outside are not about the text: an image in the prompt, or an answer that is nearly all hidden reasoning. No
# text has more tokens than bytes.
_LEAST: Final = 0.0625  # 1 / 16
_MOST: Final = 1.0


@dataclass(slots=True)
class _Ratio:
    tokens: float = FIRST_RATIO * _FIRST_WEIGHT
    text: float = _FIRST_WEIGHT

    def apply(self, text: int) -> int:
        # Up, not off: text was seen, so at least one token was.
        return -int(-text * self.tokens // self.text) if text > 0 else 0


class Estimator:
    """Tokens-per-byte ratios, for input and output, of each key's aliases."""

    def __init__(self, *, pairs: int = 10_000) -> None:
        """`pairs` of a key and an alias bounds the memory: for those beyond it nothing is learned."""
        self._limit = pairs
        #: Requests whose text was counted.
        self.turn = 0
        self._ratios: dict[tuple[str, str], tuple[_Ratio, _Ratio]] = {}

    def observe(self, key: str, alias: str, text_in: int, input_tokens: int, text_out: int, output_tokens: int) -> None:
        """Learn from a row with reported usage: `text_in` and `text_out` are bytes of text."""
        of = (key, alias)
        pair = self._ratios.get(of)
        if pair is None:
            if len(self._ratios) >= self._limit:
                return
            pair = self._ratios[of] = (_Ratio(), _Ratio())
        for ratio, text, tokens in ((pair[0], text_in, input_tokens), (pair[1], text_out, output_tokens)):
            if text > 0 and _LEAST <= tokens / text <= _MOST:
                ratio.tokens = ratio.tokens * _DECAY + tokens
                ratio.text = ratio.text * _DECAY + text

    def estimate(self, key: str, alias: str, text_in: int, text_out: int) -> tuple[int, int]:
        """Input and output tokens for so many bytes of text."""
        pair = self._ratios.get((key, alias))
        if pair is None:
            return -(-text_in // _FIRST_BYTES), -(-text_out // _FIRST_BYTES)
        return pair[0].apply(text_in), pair[1].apply(text_out)
