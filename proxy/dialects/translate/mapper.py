"""RequestMapper: carries a request's fields into the target's dialect by a table of verdicts, and notes what was lost.

A field is mapped; said in part, which is noted; left out, which is noted; or refused, with an error that names it. What
changes what is generated, what it costs or whether a parser holds is refused; what is a hint is said in part or left
out.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, NoReturn

import msgspec

from proxy.dialects.base import TargetTerms
from proxy.dialects.translate.schemas import decode_value, encode
from proxy.errors import InvalidRequest
from proxy.wire.schemas import DECODE_ERRORS, Body

#: Characters of a note of what was lost.
MAX_NOTE: Final = 1_000
_NULL: Final = b"null"


class Verdict(Enum):
    """What becomes of a field."""

    MAP = "map"
    #: Said in part, and noted.
    LOSSY = "lossy"
    #: Left out, and noted.
    DROP = "drop"
    #: Left out; it is everywhere, and means nothing at the other side.
    IGNORE = "ignore"
    REFUSE = "refuse"


class RequestMapper:
    """One request on its way into the target's dialect. Raises `InvalidRequest` from any of its methods."""

    def __init__(self, body: Body, terms: TargetTerms) -> None:
        self.body = body
        self.terms = terms
        #: What the target gets, in the order of its fields.
        self.out: dict[str, Any] = {}
        self._lossy: list[str] = []
        self._dropped: list[str] = []

    def field(self, name: str) -> msgspec.Raw | None:
        """A field of the request as it came; None where it is missing or null."""
        raw = self.body.fields.get(name)
        return None if raw is None or bytes(raw) == _NULL else raw

    def value(self, name: str) -> Any:
        """The decoded value of a small field, which has no numbers that must stay as they came; None where missing."""
        raw = self.field(name)
        return None if raw is None else self.decoded(raw, name)

    def decoded(self, raw: msgspec.Raw, name: str, decode: Callable[[msgspec.Raw], Any] = decode_value) -> Any:
        """A value by a decoder."""
        try:
            return decode(raw)
        except DECODE_ERRORS as error:
            # A decoder's words say where: "Expected `str`, got `int` - at `$[0].role`".
            raise InvalidRequest(f"`{name}` cannot be read: {error}.", param=name) from error

    def text(self, name: str) -> str:
        """A field that is a word; empty where it is missing."""
        value = self.value(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            self.refuse(name, "it must be a string")
        return str(value)

    def map(self, table: Mapping[str, "Rule"]) -> None:
        """Carry all fields over, each by its rule; one without a rule is left out and noted."""
        for name in self.body.fields:
            raw = self.field(name)
            if raw is None:
                continue
            rule = table.get(name)
            if rule is None:
                self.drop(name)
            elif rule.apply is not None:
                rule.apply(self, name)
            elif rule.verdict is Verdict.MAP:
                self.out[rule.to or name] = raw
            elif rule.verdict is Verdict.REFUSE:
                self.refuse(name, rule.why)
            elif rule.verdict is Verdict.LOSSY:
                self.lose(name, rule.why)
            elif rule.verdict is Verdict.DROP:
                self.drop(name)

    def lose(self, name: str, why: str) -> None:
        """Note that a field is said in part. Where the alias is strict it is refused."""
        if self.terms.strict:
            self.refuse(name, why)
        if name not in self._lossy:
            self._lossy.append(name)

    def drop(self, name: str) -> None:
        """Note that a field is left out."""
        if name not in self._dropped:
            self._dropped.append(name)

    def refuse(self, name: str, why: str) -> NoReturn:
        """Refuse the request for a field."""
        message = f"`{name}` cannot be translated for the model `{self.terms.alias}`: {why}."
        raise InvalidRequest(message, param=name, code="not_translatable")

    @property
    def note(self) -> str:
        """What was lost, as a value of `X-Prism-Translated` has it behind the dialects; empty for nothing."""
        parts = []
        if self._lossy:
            parts.append(f"; lossy={','.join(self._lossy)}")
        if self._dropped:
            parts.append(f"; dropped={','.join(self._dropped)}")
        return "".join(parts)[:MAX_NOTE]

    def encoded(self) -> bytes:
        """The request as the target gets it."""
        return encode(self.out)


class Rule:
    """What becomes of one field of a request, and why; `apply` does it where the verdict alone does not say all."""

    __slots__ = ("apply", "to", "verdict", "why")

    def __init__(
        self,
        verdict: Verdict,
        why: str = "",
        *,
        to: str = "",
        apply: Callable[[RequestMapper, str], None] | None = None,
    ) -> None:
        self.verdict = verdict
        #: For the documents, and for the error of what is refused.
        self.why = why
        #: The name of the field at the other side, where it is another one.
        self.to = to
        self.apply = apply


def mapped(to: str = "", apply: Callable[[RequestMapper, str], None] | None = None, why: str = "") -> Rule:
    """A field that is carried over whole."""
    return Rule(Verdict.MAP, why, to=to, apply=apply)


def placed(to: str = "", why: str = "") -> Rule:
    """A field that is carried over with others, by the pair itself."""
    return Rule(Verdict.MAP, why, to=to, apply=_leave)


def _leave(mapper: RequestMapper, name: str) -> None:
    """Nothing is left to do."""


def lossy(why: str, apply: Callable[[RequestMapper, str], None] | None = None, to: str = "") -> Rule:
    """A field that may be said in part."""
    return Rule(Verdict.LOSSY, why, to=to, apply=apply)


def dropped(why: str) -> Rule:
    """A field that is left out, and noted."""
    return Rule(Verdict.DROP, why)


def ignored(why: str) -> Rule:
    """A field that is left out without a note."""
    return Rule(Verdict.IGNORE, why)


def refused(why: str, apply: Callable[[RequestMapper, str], None] | None = None) -> Rule:
    """A field that is refused; with `apply`, for some of its values."""
    return Rule(Verdict.REFUSE, why, apply=apply)


def refused_unless(*harmless: Any, why: str) -> Rule:
    """A field that is refused unless it has one of these values, which say nothing."""
    return Rule(Verdict.REFUSE, why, apply=_RefuseUnless(harmless, why))


def dropped_unless(*harmless: Any, why: str) -> Rule:
    """A field that is left out, and noted unless it has one of these values, which say nothing."""
    return Rule(Verdict.DROP, why, apply=_DropUnless(harmless))


class _RefuseUnless:
    def __init__(self, harmless: tuple[Any, ...], why: str) -> None:
        self._harmless, self._why = harmless, why

    def __call__(self, mapper: RequestMapper, name: str) -> None:
        if mapper.value(name) not in self._harmless:
            mapper.refuse(name, self._why)


class _DropUnless:
    def __init__(self, harmless: tuple[Any, ...]) -> None:
        self._harmless = harmless

    def __call__(self, mapper: RequestMapper, name: str) -> None:
        if mapper.value(name) not in self._harmless:
            mapper.drop(name)
