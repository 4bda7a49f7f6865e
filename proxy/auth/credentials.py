"""The credentials in a request's headers, under any of the names that the SDKs use.

A credential that the gateway does not know is no reason to refuse one that it does: clients send leftovers of other
providers, and proxies in front add their own. The work that a head can cause here is bounded.
"""

import re
from collections.abc import Iterable
from typing import Final

from proxy.auth.key_index import KeyIndex
from proxy.auth.keys import Key, digest_of
from proxy.errors import AuthenticationFailed, InvalidRequest, UnknownKey
from proxy.wire.headers import Header

MISSING: Final = "Missing API key. Provide it as Authorization: Bearer <key>."
INVALID: Final = "Incorrect API key provided. Check the key, and that it has not expired or been revoked."
AMBIGUOUS: Final = "Two different API keys in one request. Send one, as Authorization: Bearer <key>."
#: Different secrets of one request that are looked up: one for each header that may carry one.
MAX_SECRETS: Final = 4
_CREDENTIALS: Final = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"})
_BEARER = re.compile(rb"bearer +(\S+) *", re.IGNORECASE)


def lookup_key(keys: KeyIndex, digests: tuple[bytes, ...], now: float) -> Key:
    """The one key that has a secret with one of these digests; those of no key do not count.

    Raises `UnknownKey` for none, and `InvalidRequest` for two.
    """
    key: Key | None = None
    for digest in digests:
        one = keys.lookup(digest, now)
        if one is None:
            continue
        if key is not None and one.id != key.id:
            raise _ambiguous()
        key = one
    if key is None:
        raise UnknownKey(INVALID)
    return key


def credential_digests(headers: Iterable[Header]) -> tuple[bytes, ...]:
    """The digests of the different secrets that a request shows; none for headers that hold no secret.

    Raises `AuthenticationFailed` where there is no such header, `InvalidRequest` for more secrets than `MAX_SECRETS`.
    """
    secrets: list[bytes] = []
    is_missing = True
    for name, value in headers:
        if name not in _CREDENTIALS:
            continue
        is_missing = False
        secret = value
        if name == b"authorization":
            match = _BEARER.fullmatch(value)
            secret = match.group(1) if match is not None else b""
        if secret and secret not in secrets:
            if len(secrets) == MAX_SECRETS:
                raise _ambiguous()
            secrets.append(secret)
    if is_missing:
        raise AuthenticationFailed(MISSING)
    return tuple([digest_of(secret) for secret in secrets])


def has_secret(headers: Iterable[Header]) -> bool:
    """Whether a request shows a secret at all, for what is open to everyone."""
    for name, value in headers:
        if name in _CREDENTIALS and value and (name != b"authorization" or _BEARER.fullmatch(value) is not None):
            return True
    return False


def _ambiguous() -> InvalidRequest:
    return InvalidRequest(AMBIGUOUS, code="ambiguous_api_key")
