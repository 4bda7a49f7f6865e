"""What the meters of all dialects share: the counters, the last usage object, and the error for one that is broken."""

import re
from typing import Any, Final

import msgspec

from proxy.dialects.scrub import NO_NAMES, scrub
from proxy.errors import UpstreamProtocolError
from proxy.wire.json_repair import repaired
from proxy.wire.json_scan import NO_ERROR
from proxy.wire.meter import UsageMeter
from proxy.wire.schemas import DECODE_ERRORS, Usage
from proxy.wire.usage import Reading, covers, read_usage, reading, tier_in, usage_of

EMPTY: Final = msgspec.Raw()
NULL: Final = msgspec.Raw(b"null")
NOTHING: Final = (EMPTY, NULL)
#: Values of a finish reason, raw and in lower case, that give none.
_NO_REASON: Final = frozenset(
    {b"", b"null", b"false", b"0", b'""', b'"null"', b'"none"', b'"finish_reason_unspecified"', b"{}", b"[]"}
)
#: The service tiers that nearly all responses have, and those that say nothing.
_STANDARD: Final = (msgspec.Raw(b'"default"'), msgspec.Raw(b'"standard"'))
_NO_TIER: Final = (NULL, msgspec.Raw(b'"auto"'), msgspec.Raw(b'""'))
#: Some servers leave it out or write null.
ChoiceIndex = int | None
#: As many as OpenAI gives at once; what comes beyond is not followed.
_MAX_CHOICES: Final = 128
_items: Final = msgspec.json.Decoder(list[msgspec.Raw])
# Some servers take a number with a point, or in quotes, too.
_CHOICES: Final = re.compile(rb'"?(\d{1,9})(?:\.0*)?"?')
_CANDIDATES: Final = re.compile(rb'"candidate_?[cC]ount"\s*:\s*"?(\d{1,9})')


class ResponseMeter(UsageMeter):
    """Keeps what the bill needs of one response; a dialect's subclass adds `path` and `read`."""

    __slots__ = (
        "_alias",
        "_earlier",
        "_finished_at",
        "_searches",
        "_tier",
        "_upstream_model",
        "_usage",
        "closing",
        "finished",
        "hidden",
        "terminal",
    )

    def __init__(self, alias: str, upstream_model: str, drop_usage: bool) -> None:
        self._alias = alias.encode()
        self._upstream_model = upstream_model.encode()
        #: The last usage object, and what those before it said, if there were any.
        self._usage = EMPTY
        self._earlier: Reading | None = None
        #: The service tier, where it stands beside the usage, and searches that are counted nowhere else.
        self._tier = EMPTY
        self._searches = 0
        #: What an error may quote beside the model's name, and what replaces it.
        self.hidden = NO_NAMES
        self.drop = False
        self.failed = False
        self.ended = False
        #: The response is complete by its own mark, such as a finish reason.
        self.finished = False
        #: Its last event was read: only an end marker may follow.
        self.terminal = False
        #: A part of it is complete, and no other has begun: its end and its usage may come next.
        self.closing = False
        #: `text_out` before the event by which it was complete.
        self._finished_at = 0
        #: Bytes of text seen, JSON escapes included; what an estimate is made from.
        self.text_out = 0

    @property
    def goes_on(self) -> bool:
        """Text came with the finish reason, or after it: more may come, however long it takes."""
        return self.text_out > self._finished_at

    def expect(self, choices: int) -> None:
        """Note how many choices the client requested; only formats with several choices override this."""

    @property
    def counts_so_far(self) -> bool:
        """The usage is what was known when the response began: its output was still to be counted."""
        return False

    def scrub(self, block: bytes) -> bytes:
        """An error's bytes with the alias for the upstream's model name, and without account ids."""
        return scrub(block, self._upstream_model, self._alias, self.hidden)

    def usage(self) -> Usage | None:
        """The usage that was reported: by the last usage object, and where that says nothing, by those before it."""
        if self._earlier is None and self._tier is EMPTY and not self._searches:
            return read_usage(bytes(self._usage)) if self._usage is not EMPTY else None
        read = self._reading()
        if self._searches and not read.counts.get("searches"):
            read.counts["searches"] = self._searches
        return usage_of(read)

    def _reading(self) -> Reading:
        """The counts of all usage objects, and the service tier beside them."""
        read = Reading({}) if self._usage is EMPTY else reading(bytes(self._usage))
        if self._earlier is not None:
            read = self._earlier.under(read)
        if self._tier is not EMPTY:
            read.tier = read.tier or tier_in(self._tier)
        return read

    def _take_usage(self, usage: msgspec.Raw) -> None:
        """Keep a usage object, and the counts of the one before it."""
        if self._usage is not EMPTY and not covers(bytes(usage), bytes(self._usage)):
            before = reading(bytes(self._usage))
            self._earlier = before if self._earlier is None else self._earlier.under(before)
        self._usage = usage

    def _take_tier(self, tier: msgspec.Raw) -> None:
        """Keep a service tier that is not the standard one; the last one that is not null counts."""
        if tier not in _NO_TIER:
            self._tier = EMPTY if tier in _STANDARD else tier

    def _note(self, usage: msgspec.Raw, error: msgspec.Raw) -> None:
        """Keep a usage object, and that there was an error."""
        if usage is not EMPTY and usage != NULL:
            self._take_usage(usage)
        if is_error(error):
            self.failed = True

    def _finish(self, text_before: int) -> None:
        """The response is complete by its own mark; `text_before` is `text_out` before the event with the mark."""
        if not self.finished:
            self.finished = True
            self._finished_at = text_before


class ChoicesMeter(ResponseMeter):
    """For responses of several choices, each with its own finish reason: complete when all that were requested, and all
    that began, have theirs."""

    __slots__ = ("_choice", "_choices", "_expected", "_unfinished")

    def __init__(self, alias: str, upstream_model: str, drop_usage: bool) -> None:
        super().__init__(alias, upstream_model, drop_usage)
        #: The choice read last, and of each that began whether it has finished.
        self._choice: ChoiceIndex = -1
        self._choices: dict[ChoiceIndex, bool] = {}
        self._unfinished = 0
        self._expected = 1

    def expect(self, choices: int) -> None:
        """Note how many choices the client requested; of several such fields each multiplies."""
        self._expected = max(1, min(self._expected * choices, _MAX_CHOICES))

    def _turn_to(self, choice: ChoiceIndex) -> None:
        """Go on with another choice than the one read before."""
        self._choice = choice
        if choice not in self._choices and len(self._choices) < _MAX_CHOICES:
            self._choices[choice] = False
            self._unfinished += 1
            self.finished = False

    def _finish_choice(self) -> None:
        """The choice read last has its finish reason."""
        if self._choices.get(self._choice) is False:
            self._choices[self._choice] = True
            self._unfinished -= 1
        self.finished = not self._unfinished and len(self._choices) >= self._expected


def try_decode(body: bytes) -> Any:
    """The value of an error's body, or None where it is no JSON."""
    try:
        return msgspec.json.decode(body)
    except DECODE_ERRORS:
        text = repaired(body)
        if text is body:
            return None
    try:
        return msgspec.json.decode(text)
    except DECODE_ERRORS:
        return None


def is_finish_reason(raw: msgspec.Raw) -> bool:
    """Whether a raw value is a finish reason. Some servers send an empty text, or a word for none, before it."""
    value = bytes(raw).lower()
    return value not in _NO_REASON and value.strip(b'" ') != b""


def choices_in(raw: msgspec.Raw) -> int:
    """How many choices a request's field asks for: a number, one for each prompt of a list, or the number that a
    configuration of Gemini's holds; 1 else."""
    value = bytes(raw)
    if value.startswith(b"["):
        prompts = _items.decode(value)
        # A list of numbers is one prompt, in tokens.
        return len(prompts) if prompts and bytes(prompts[0])[:1] in (b'"', b"[") else 1
    found = _CANDIDATES.search(value) if value.startswith(b"{") else _CHOICES.fullmatch(value)
    return int(found[1]) if found is not None else 1


def is_error(raw: msgspec.Raw) -> bool:
    """Whether the raw value of an `error` says that there was one."""
    return raw is not EMPTY and bytes(raw) not in NO_ERROR


def text_size(raw: msgspec.Raw) -> int:
    """The bytes of a text, a list or an object without its ends; 0 for a number or a word, which is no text."""
    value = bytes(raw)
    return len(value) - 2 if value[:1] in (b'"', b"[", b"{") else 0


def invalid_json(error: Exception) -> UpstreamProtocolError:
    """The error for a response that is not JSON."""
    return UpstreamProtocolError("The model's answer could not be read.", detail=f"not JSON: {type(error).__name__}")
