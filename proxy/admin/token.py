"""The admin token: a file in the data directory, or a setting; and the check of what a request shows.

A token is compared in constant time, and never logged. A client key is no admin token, whatever it may use.
"""

import hashlib
import hmac
import logging
import os
import re
import secrets
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from proxy.auth.key_index import KeyIndex
from proxy.auth.keys import digest_of
from proxy.config.tree import Admin
from proxy.errors import AuthenticationFailed, GatewayError, InvalidRequest, RateLimited, StoreFailed
from proxy.wire.headers import Header

FILE_NAME: Final = "admin.token"
PREFIX: Final = "prom_admin_"
#: Random bytes of a token.
_SECRET_BYTES: Final = 32
#: Failed attempts of one second beyond which a worker refuses further ones without a look at them.
MAX_FAILURES_PER_SECOND: Final = 20
#: Credentials of one request that are looked at.
MAX_CREDENTIALS: Final = 4
_TOKEN = re.compile(r"[\x21-\x7e]{32,256}")
_MAX_FILE_BYTES: Final = 1_024
_BEARER = re.compile(rb"bearer +(\S+) *", re.IGNORECASE)
_WHERE: Final = (
    "Send the admin token as Authorization: Bearer TOKEN or as X-API-Key; "
    "`prometheus-gateway admin token` says where it is."
)
_log = logging.getLogger(__name__)


class TokenFile:
    """The file that holds the token, for its owner alone. All methods raise `StoreFailed`."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / FILE_NAME

    def load_or_create(self) -> str:
        """The token; one is made where there is no file. Of several processes that start at once one makes it."""
        try:
            token = self._read()
            if token is None:
                self._write(exclusive=True)
                token = self._read()
        except OSError as error:
            raise self._failed("kept", error) from error
        assert token is not None
        return token

    def read(self) -> str | None:
        """The token, or None where there is no file."""
        try:
            return self._read()
        except OSError as error:
            raise self._failed("read", error) from error

    def rotate(self) -> str:
        """Replace the token by a new one and return it. A running gateway takes it from its next request on."""
        try:
            return self._write(exclusive=False)
        except OSError as error:
            raise self._failed("replaced", error) from error

    def state(self) -> tuple[int, int, int] | None:
        """What changes when the file does; None where there is none."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _read(self) -> str | None:
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_mode & 0o077:
                    _log.warning("%s could be read by others; it is for its owner alone from now on", self.path)
                    os.fchmod(file.fileno(), 0o600)
                text = file.read(_MAX_FILE_BYTES).decode("ascii", "replace").strip()
        except FileNotFoundError:
            return None
        if not _TOKEN.fullmatch(text):
            raise StoreFailed(
                f"{self.path} holds no token (32 to 256 characters on one line); "
                "make another with: prometheus-gateway admin token --rotate"
            )
        return text

    def _write(self, *, exclusive: bool) -> str:
        """Write a new token, unless there is one and it must be the first; it appears whole or not at all."""
        token = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        part = self.path.with_name(f".{FILE_NAME}.{secrets.token_hex(8)}.part")
        try:
            part.touch(mode=0o600, exist_ok=False)
            part.write_text(token + "\n", encoding="ascii")
            if exclusive:
                try:
                    os.link(part, self.path)
                except FileExistsError:
                    return ""
            else:
                part.replace(self.path)
        finally:
            part.unlink(missing_ok=True)
        return token

    def _failed(self, what: str, error: OSError) -> StoreFailed:
        return StoreFailed(f"the admin token cannot be {what} in {self.path}: {error.strerror or error}")


class AdminToken:
    """Checks the credentials of requests against the token in force: the setting's, else the file's as it is now."""

    def __init__(self, data_dir: Path, keys: KeyIndex) -> None:
        self.file = TokenFile(data_dir)
        self._keys = keys
        #: The file's token, and the state of the file when it was read.
        self._token: str | None = None
        self._read_at: tuple[int, int, int] | None = None
        self._failures = Failures()

    def authenticate(self, headers: Iterable[Header], settings: Admin, client: str) -> str:
        """The actor of a request for the audit table: `admin` and the beginning of the token's digest.

        Raises `AuthenticationFailed` for no token or a wrong one, `InvalidRequest` (403) for a client key, and
        `RateLimited` for wrong ones when there were too many. The right token is taken in any case.
        """
        presented = credentials_of(headers)
        actor = self.actor_of(presented, settings)
        if actor is not None:
            return actor
        if not presented:
            raise AuthenticationFailed(f"unauthorized: this is the admin API. {_WHERE}")
        # A client key is no guess, and does not count as one.
        if any(self._is_client_key(one) for one in presented):
            message = f"forbidden: a client key cannot be used for the admin API. {_WHERE}"
            raise InvalidRequest(message, status=403, code="admin_token_required")
        if not self._failures.add(client):
            raise RateLimited(
                "Too many wrong admin tokens. Try again in a second.", headers={"retry-after": "1"}, type="requests"
            )
        raise AuthenticationFailed(f"unauthorized: this is not the admin token. {_WHERE}", code="invalid_admin_token")

    def actor(self, headers: Iterable[Header], settings: Admin) -> str | None:
        """The same, or None for a request without the token: for pages that need none. It counts no guesses."""
        return self.actor_of(credentials_of(headers), settings)

    def actor_of(self, presented: Sequence[bytes], settings: Admin) -> str | None:
        """The actor of credentials of which one is the token, or None. It counts no guesses."""
        wanted = self._digest(settings)
        if wanted is not None and any(hmac.compare_digest(hashlib.sha256(one).digest(), wanted) for one in presented):
            return _actor(wanted)
        return None

    def mark(self, settings: Admin) -> bytes | None:
        """A digest that changes with the token in force and does not reveal it; None where there is no token."""
        wanted = self._digest(settings)
        return None if wanted is None else hashlib.sha256(b"session " + wanted).digest()

    def current_actor(self, settings: Admin) -> str | None:
        """The actor that the holder of the token in force is; None where there is no token."""
        wanted = self._digest(settings)
        return None if wanted is None else _actor(wanted)

    def _digest(self, settings: Admin) -> bytes | None:
        expected = settings.token or self._current()
        return None if expected is None else hashlib.sha256(expected.encode()).digest()

    def _current(self) -> str | None:
        """The file's token; it is read again when the file has changed. Without a file no token is right."""
        state = self.file.state()
        if state != self._read_at:
            # Read first: what is written between the two is read again next time.
            self._read_at = state
            try:
                self._token = self.file.read()
            except StoreFailed as error:
                _log.error("admin API: %s", error.message)
                self._token = None
        return self._token

    def _is_client_key(self, secret: bytes) -> bool:
        try:
            return self._keys.lookup(digest_of(secret), time.time()) is not None
        except GatewayError:
            return False


class Failures:
    """Counts wrong tokens by the second, bounds them, and logs one line for each second that has any."""

    def __init__(self) -> None:
        self._second = 0
        self._count = 0

    def add(self, client: str) -> bool:
        """Count one; False where there were too many in this second."""
        second = int(time.monotonic())
        if second != self._second:
            if self._count > 1:
                _log.warning("admin API: %d wrong tokens within one second", self._count)
            _log.warning("admin API: a wrong token from %s", client)
            self._second, self._count = second, 0
        self._count += 1
        return self._count <= MAX_FAILURES_PER_SECOND


def _actor(digest: bytes) -> str:
    return f"admin:{digest.hex()[:8]}"


def credentials_of(headers: Iterable[Header]) -> list[bytes]:
    """The credentials that a request shows, as Bearer or as `X-API-Key`."""
    found: list[bytes] = []
    for name, value in headers:
        if name == b"authorization":
            match = _BEARER.fullmatch(value)
            value = match.group(1) if match is not None else b""
        elif name != b"x-api-key":
            continue
        if value and len(found) < MAX_CREDENTIALS:
            found.append(value)
    return found
