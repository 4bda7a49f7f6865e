"""Estimates token counts where the upstream reported none: bytes of text times the learned tokens per byte.

The ratios are learned from reported usage, by key and alias: what one key sends must not change what another is billed.
No tokenizer, no clock, no file; memory is four numbers for each pair, and the number of pairs is bounded.
"""

from dataclasses import dataclass
from typing import Final

#: Tokens per byte before anything is learned: about right for English under the common vocabularies.
INITIAL_RATIO: Final = 0.25

#: Which requests of a process are learned from: all of the first ones, and one of so many later ones. To decide whether
#: a body is text costs a tenth of a small request's time.
LEARN_ALL: Final = 1_000
LEARN_EACH: Final = 8

# INITIAL_RATIO as bytes per token.
_INITIAL_BYTES_PER_TOKEN: Final = 4
# The weight of INITIAL_RATIO in bytes, so that one unusual short request changes little.
_INITIAL_WEIGHT_BYTES: Final = 2_000.0
# Weight that older observations keep at each new one: the ratio follows about the last hundred requests.
_DECAY: Final = 0.99
# Ratios outside are not about the text: an image in the prompt, or a response that is nearly all hidden reasoning. No
# text has more tokens than bytes.
_MIN_RATIO: Final = 0.0625  # 1 / 16
_MAX_RATIO: Final = 1.0


@dataclass(slots=True)
class _Ratio:
    tokens: float = INITIAL_RATIO * _INITIAL_WEIGHT_BYTES
    text: float = _INITIAL_WEIGHT_BYTES

    def apply(self, text: int) -> int:
        # Rounded up: there is text, so there is at least one token.
        return -int(-text * self.tokens // self.text) if text > 0 else 0


class Estimator:
    """Learns and applies ratios of tokens per byte, for input and output, of each key and alias."""

    def __init__(self, *, max_pairs: int = 10_000) -> None:
        """`max_pairs` of key and alias bounds the memory: for further ones nothing is learned."""
        self._max_pairs = max_pairs
        #: Requests whose text was counted.
        self.turn = 0
        self._ratios: dict[tuple[str, str], tuple[_Ratio, _Ratio]] = {}

    def observe(self, key: str, alias: str, text_in: int, input_tokens: int, text_out: int, output_tokens: int) -> None:
        """Learn from reported usage; `text_in` and `text_out` are bytes of text."""
        of = (key, alias)
        pair = self._ratios.get(of)
        if pair is None:
            if len(self._ratios) >= self._max_pairs:
                return
            pair = self._ratios[of] = (_Ratio(), _Ratio())
        for ratio, text, tokens in ((pair[0], text_in, input_tokens), (pair[1], text_out, output_tokens)):
            if text > 0 and _MIN_RATIO <= tokens / text <= _MAX_RATIO:
                ratio.tokens = ratio.tokens * _DECAY + tokens
                ratio.text = ratio.text * _DECAY + text

    def estimate(self, key: str, alias: str, text_in: int, text_out: int) -> tuple[int, int]:
        """Estimated input and output tokens for `text_in` and `text_out` bytes of text."""
        pair = self._ratios.get((key, alias))
        if pair is None:
            return -(-text_in // _INITIAL_BYTES_PER_TOKEN), -(-text_out // _INITIAL_BYTES_PER_TOKEN)
        return pair[0].apply(text_in), pair[1].apply(text_out)
