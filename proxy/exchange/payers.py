"""Who pays for a request, as its row has it: team and organisation of the key, and the client's own labels.

Labels are for reports: never trusted for rights, never sent upstream, never labels of metrics. They are read when the
request is settled, and only where there are any.
"""

from typing import Final

import msgspec

from proxy.exchange.context import RequestContext
from proxy.ledger.record import UsageRecord
from proxy.wire.prism_headers import MAX_SESSION_CHARACTERS, NO_PRISM_HEADERS

#: Characters of a user's name that a row keeps; what is longer is cut.
MAX_USER_CHARACTERS: Final = 256
#: Pairs of metadata that a row keeps, and bytes of the JSON object that holds them; what does not fit is left out.
MAX_METADATA_PAIRS: Final = 8
MAX_METADATA_BYTES: Final = 1_024
#: Bytes of a field of the body beyond which no label is searched in it.
_MAX_FIELD_BYTES: Final = 16_384
#: Fields of a body that name the user, the first one that does counts.
#: https://platform.openai.com/docs/api-reference/chat/create
_USER_FIELDS: Final = ("user", "safety_identifier")
_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_text: Final = msgspec.json.Decoder(str).decode
_encode: Final = msgspec.json.Encoder().encode


def with_payers(context: RequestContext, final: UsageRecord) -> UsageRecord:
    """The row with team, organisation, session, user and metadata; the same row where the request has none of them."""
    key, prism, fields = context.key, context.prism, context.body.fields
    session = user = metadata = ""
    if prism is not NO_PRISM_HEADERS:
        session, user, metadata = prism.session.id, prism.user_id, metadata_json(prism.metadata)
    for name in _USER_FIELDS:
        if not user and name in fields:
            user = _string(fields[name])
    if "metadata" in fields and not (session and user):
        # https://docs.anthropic.com/en/api/messages has the user there, Prism's clients have the session.
        values = _object(fields["metadata"])
        if not user and "user_id" in values:
            user = _string(values["user_id"])
        if not session and "session_id" in values:
            session = _string(values["session_id"])
    if not (key.team or key.org or session or user or metadata):
        return final
    return msgspec.structs.replace(
        final,
        team=key.team,
        org=key.org,
        session=printable_text(session, MAX_SESSION_CHARACTERS),
        user=printable_text(user, MAX_USER_CHARACTERS),
        metadata=metadata,
    )


def metadata_json(pairs: tuple[tuple[str, str], ...]) -> str:
    """The first pairs as a JSON object within the bounds of a row; empty for none."""
    kept: list[bytes] = []
    size = 2
    for key, value in pairs:
        pair = _encode(key) + b":" + _encode(value)
        if len(kept) < MAX_METADATA_PAIRS and size + len(pair) <= MAX_METADATA_BYTES:
            kept.append(pair)
            size += len(pair) + 1
    return "{" + b",".join(kept).decode() + "}" if kept else ""


def printable_text(text: str, most: int) -> str:
    """A text that a client made up, as it may be stored and displayed: cut, and printable on one line."""
    if len(text) > most:
        text = text[: most - 1] + "…"
    if text.isprintable():
        return text
    return "".join([one if one.isprintable() else one.encode("unicode_escape").decode() for one in text])


def _string(raw: msgspec.Raw) -> str:
    """The value of a JSON string; empty where it is none, or too long to be a label."""
    if len(raw) > _MAX_FIELD_BYTES:
        return ""
    try:
        return _text(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _object(raw: msgspec.Raw) -> dict[str, msgspec.Raw]:
    """The fields of a JSON object; none where it is none, or too long to hold labels."""
    if len(raw) > _MAX_FIELD_BYTES:
        return {}
    try:
        return _fields(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
