"""Sessions: who has signed in to the dashboard, by the random token in a cookie, for all workers and across restarts.

A session never outlives the credential that it began with: that is looked up again at each request, in memory.
"""

import hashlib
import re
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Final, NamedTuple

from proxy.admin.services import AdminServices
from proxy.auth.keys import Key, digest_of
from proxy.errors import AuthenticationFailed, InvalidRequest, RateLimited
from proxy.pages.session_store import ATTEMPT_SECONDS, SessionStore, Stored
from proxy.pages.viewer import Viewer

#: Random bytes of a token.
_TOKEN_BYTES: Final = 32
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")
#: Seconds for which a session that was read is not read again: what ends one in another worker is noticed after them.
CACHE_SECONDS: Final = 1.0
_MAX_CACHED: Final = 1_000
#: Seconds after which it is stored again that a session is used.
_TOUCH_SECONDS: Final = 60.0
#: Seconds for which a sign-in link works.
LINK_SECONDS: Final = 600


class Credential(NamedTuple):
    """What a client has signed in with."""

    #: None for an admin.
    key: Key | None
    #: For the audit table.
    actor: str
    #: What must stay valid for as long as the session lasts.
    digest: bytes


class Sessions:
    """Begins, finds and ends sessions. What uses the database raises `StoreFailed`."""

    def __init__(self, admin: AdminServices, clock: Callable[[], float] = time.time) -> None:
        self._admin = admin
        self._clock = clock
        self._store = SessionStore(admin.state.ledger.data_dir)
        #: By the digest of the token; and when it was read.
        self._cache: dict[bytes, tuple[Stored, float]] = {}

    async def close(self) -> None:
        """Close the database; the sessions go on at the next start."""
        await self._store.close()

    async def identify(self, secret: str, client: str, *, admins: bool) -> Credential:
        """Whose secret it is: that of a key, or where `admins` may sign in the admin token.

        Raises `RateLimited` where too many attempts have failed, `AuthenticationFailed` where it is no valid secret.
        """
        attempt = await self._store.begin_attempt(_place_of(client), int(self._clock()))
        if attempt is None:
            raise RateLimited(
                "Too many attempts to sign in have failed. Try again in a minute; an admin can sign in with a link of "
                "`prometheus-gateway dashboard` meanwhile.",
                headers={"retry-after": str(ATTEMPT_SECONDS)},
                type="requests",
            )
        credential = self._admin_credential(secret) if admins else None
        credential = credential or await self._key_credential(secret)
        if credential is None:
            where = "key or admin token" if admins else "key"
            raise AuthenticationFailed(f"This is not a valid {where}.", code="invalid_credential")
        await self._store.forget_attempt(attempt)
        return credential

    async def redeem(self, code: str) -> Credential:
        """The admin's credential, for the code of a sign-in link, which is used up. Raises `AuthenticationFailed`."""
        if _TOKEN.fullmatch(code) is None or not await self._store.take_link(_digest(code), int(self._clock())):
            raise AuthenticationFailed(
                "This link was used already, or is older than ten minutes. Make another with: "
                "prometheus-gateway dashboard",
                code="invalid_sign_in_link",
            )
        settings = self._admin.state.config.admin
        mark, actor = self._admin.token.mark(settings), self._admin.token.current_actor(settings)
        if mark is None or actor is None:
            raise InvalidRequest("There is no admin token, so no admin can sign in.", status=403, code="no_admin_token")
        return Credential(None, actor, mark)

    async def begin(self, credential: Credential) -> str:
        """Begin a session; its token, for the cookie."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        now = int(self._clock())
        key = credential.key
        ends = now + int(self._admin.state.config.pages.session_max)
        stored = Stored(None if key is None else key.id, credential.digest, credential.actor, now, now, ends)
        await self._store.add(_digest(token), stored)
        return token

    async def viewer(self, token: str, *, used: bool = True) -> Viewer | None:
        """Who has the session of a token; None where there is none, or it has ended. Unless it is `used`, that it is
        looked up does not prolong it."""
        if _TOKEN.fullmatch(token) is None:
            return None
        digest, now = _digest(token), self._clock()
        found = await self._find(digest, now)
        if found is None:
            return None
        idle = self._admin.state.config.pages.session_idle
        if now >= found.ends or now >= found.seen + idle or not self._is_valid(found, now):
            await self.end(token)
            return None
        if used and now - found.seen >= min(_TOUCH_SECONDS, idle / 10):
            await self._store.touch(digest, int(now))
            self._cache.pop(digest, None)
        return Viewer(found.key, found.actor, csrf_of(token))

    async def end(self, token: str) -> None:
        """End a session: at once in this worker, after `CACHE_SECONDS` in the others."""
        digest = _digest(token)
        self._cache.pop(digest, None)
        await self._store.remove(digest)

    async def _find(self, digest: bytes, now: float) -> Stored | None:
        stored, read = self._cache.get(digest, (None, 0.0))
        if stored is not None and 0 <= now - read < CACHE_SECONDS:
            return stored
        stored = await self._store.find(digest)
        if stored is None:
            self._cache.pop(digest, None)
            return None
        if len(self._cache) >= _MAX_CACHED:
            self._cache.clear()
        self._cache[digest] = stored, now
        return stored

    def _is_valid(self, session: Stored, now: float) -> bool:
        """Whether what it began with is still valid."""
        if session.key is None:
            return session.credential == self._admin.token.mark(self._admin.state.config.admin)
        key = self._admin.keys.lookup(session.credential, now)
        return key is not None and key.id == session.key

    def _admin_credential(self, secret: str) -> Credential | None:
        settings = self._admin.state.config.admin
        actor, mark = self._admin.token.actor_of([secret.encode()], settings), self._admin.token.mark(settings)
        return None if actor is None or mark is None else Credential(None, actor, mark)

    async def _key_credential(self, secret: str) -> Credential | None:
        keys, digest = self._admin.keys, digest_of(secret.encode())
        key = keys.lookup(digest, self._clock())
        if key is None and keys.may_catch_up:
            await keys.catch_up()
            key = keys.lookup(digest, self._clock())
        return None if key is None else Credential(key, f"key:{key.name}", digest)


async def make_link(store: SessionStore, now: float) -> str:
    """The code of a new sign-in link for an admin, which works once within `LINK_SECONDS`. Raises `StoreFailed`."""
    code = secrets.token_urlsafe(_TOKEN_BYTES)
    await store.add_link(_digest(code), int(now), int(now) + LINK_SECONDS)
    return code


def csrf_of(token: str) -> str:
    """What each form of a session must send; the token does not follow from it."""
    return urlsafe_b64encode(hashlib.sha256(b"csrf " + token.encode()).digest()).decode().rstrip("=")


def _place_of(client: str) -> str:
    """What attempts are counted by: the address; of IPv6 its first 64 bits, for one client has all of the others."""
    try:
        address = ip_address(client)
    except ValueError:
        # A Unix socket.
        return client
    if isinstance(address, IPv4Address):
        return client
    return str(address.ipv4_mapped or IPv6Network((int(address), 64), strict=False))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
