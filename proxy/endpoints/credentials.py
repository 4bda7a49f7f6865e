"""Who asks: the credential in a request's headers, under any of the names the SDKs use."""

import re
from collections.abc import Iterable
from typing import Final

from proxy.errors import AuthenticationFailed, InvalidRequest
from proxy.ledger.keys import Key, KeyIndex, digest_of
from proxy.wire.headers import Header

MISSING: Final = "Missing API key. Provide it as Authorization: Bearer <key>."
INVALID: Final = "Incorrect API key provided. Check the key, and that it has not expired or been revoked."
_CREDENTIALS: Final = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"})
_BEARER = re.compile(rb"bearer +(\S+) *", re.IGNORECASE)


def authenticate(headers: Iterable[Header], keys: KeyIndex, now: float) -> Key:
    """The key that a request shows; `now` is in seconds since 1970.

    Raises `AuthenticationFailed` for none or a wrong one, and `InvalidRequest` for two different ones.
    """
    return found(keys, digest_of(shown(headers)), now)


def found(keys: KeyIndex, digest: bytes, now: float) -> Key:
    """The key whose secret has this digest. Raises `AuthenticationFailed`."""
    key = keys.at(digest, now)
    if key is None:
        raise AuthenticationFailed(INVALID)
    return key


def shown(headers: Iterable[Header]) -> bytes:
    """The secret that a request shows. Raises `AuthenticationFailed` for none, `InvalidRequest` for two."""
    secret: bytes | None = None
    for name, value in headers:
        if name not in _CREDENTIALS:
            continue
        if name == b"authorization":
            match = _BEARER.fullmatch(value)
            one = match.group(1) if match is not None else b""
        else:
            one = value
        if secret is not None and one != secret:
            raise InvalidRequest(
                "Two different API keys in one request. Send one, as Authorization: Bearer <key>.",
                code="ambiguous_api_key",
            )
        secret = one
    if secret is None:
        raise AuthenticationFailed(MISSING)
    return secret
