"""The index of client keys that requests are authenticated against: in memory, kept up to date with `keys.db`.

A lookup neither awaits nor reads the database. While the database cannot be read, the last known keys stay valid for
`MAX_STALE_SECONDS`, and then none is.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import MappingProxyType

from proxy.auth.key_reader import KeyReader
from proxy.auth.key_table import KeyTable
from proxy.auth.keys import Key, digest_of
from proxy.auth.values import valid_name
from proxy.errors import StoreFailed

#: Seconds for which the last known keys stay valid while the database cannot be read.
MAX_STALE_SECONDS = 60.0
#: Minimum seconds between two reads of the database for the sake of unknown secrets.
CATCH_UP_SECONDS = 0.05
_UNREADABLE = "The gateway cannot read its keys. Try again shortly."
_RETRY_AFTER = MappingProxyType({"retry-after": "5"})

_log = logging.getLogger(__name__)


class KeyIndex:
    """Looks up keys by the digest of their secret. Memory is about half a kilobyte for each live key."""

    def __init__(self, data_dir: Path) -> None:
        self._table = KeyTable()
        self._by_digest = self._table.by_digest
        self._reader = KeyReader(data_dir / "keys.db", self._table)
        #: The refresh that runs for the sake of an unknown secret, and when the next one may, in monotonic seconds.
        self._catching_up: asyncio.Task[None] | None = None
        self._catch_up_at = 0.0
        #: Why the index is not up to date, or None; and since when, in monotonic seconds.
        self.failed: str | None = None
        self._failed_at = 0.0
        #: It has failed for longer than MAX_STALE_SECONDS: all keys of the database were removed.
        self._is_stale = False
        #: Whether any key has an account that limits something, and who is to know when that changes.
        self.has_accounts = False
        self._accounts_changed: Callable[[bool], None] | None = None

    def follow_accounts(self, changed: Callable[[bool], None]) -> None:
        """Have a function called with `has_accounts` whenever that has changed, before the next request."""
        self._accounts_changed = changed

    def lookup(self, digest: bytes, now: float) -> Key | None:
        """The key of a secret, by the digest that `digest_of` gives, at `now` (seconds since 1970).

        None alike for unknown, revoked, expired and malformed secrets. Raises StoreFailed when the keys could not be
        read for too long.
        """
        # An attacker can time only the comparison of digests, from which no secret can be derived.
        key = self._by_digest.get(digest)
        if key is None or (key.expires is not None and now >= key.expires):
            if self._is_stale:
                raise StoreFailed(_UNREADABLE, headers=_RETRY_AFTER)
            return None
        return key

    def by_id(self, id_: str, now: float) -> Key | None:
        """A key that is valid at `now`, in seconds since 1970, by its id; None for any other."""
        key = self._table.by_id(id_)
        return key if key is not None and (key.expires is None or now < key.expires) else None

    def remember(self, name: str, secret: str, models: Iterable[str] | None = None) -> Key:
        """Add a key that exists in this process only. Its id follows from its name, so that its usage adds up."""
        key = Key(
            id=local_id(name),
            name=valid_name(name),
            models=None if models is None else frozenset(models),
            created=int(time.time()),
            expires=None,
            hint=secret[-4:],
        )
        self._table.put_local(key, digest_of(secret.encode()))
        return key

    async def open(self) -> None:
        """Open the database, which `KeyStore.open` creates, and load all keys. Raises StoreFailed."""
        try:
            await self._reader.read()
        except BaseException:
            await self.close()
            raise
        self._compare_accounts()

    async def close(self) -> None:
        """Close the database; lookups still work."""
        await self._reader.close()

    async def refresh(self) -> None:
        """Read what changed. When the database cannot be read, `failed` says why, which is logged once."""
        try:
            await self._reader.read()
        except StoreFailed as error:
            self._fail(error.message)
            return
        finally:
            # Keys that were read before it failed may have limits already.
            self._compare_accounts()
        if self.failed is not None:
            _log.warning("keys are refreshed again")
        self.failed = None
        self._is_stale = False

    @property
    def may_catch_up(self) -> bool:
        """Whether `catch_up` would do anything now."""
        runs = self._catching_up is not None and not self._catching_up.done()
        return runs or time.monotonic() >= self._catch_up_at

    async def catch_up(self) -> None:
        """Refresh for the sake of an unknown secret, unless that was done within CATCH_UP_SECONDS.

        Concurrent callers share one refresh, so unknown secrets, however many, cost little.
        """
        if not self.may_catch_up:
            return
        if self._catching_up is None or self._catching_up.done():
            self._catch_up_at = time.monotonic() + CATCH_UP_SECONDS
            self._catching_up = asyncio.create_task(self.refresh(), name="keys-catch-up")
        await asyncio.shield(self._catching_up)

    async def watch(self, interval: float = 0.25) -> None:
        """Refresh every `interval` seconds until cancelled."""
        while True:
            await asyncio.sleep(interval)
            await self.refresh()

    def _compare_accounts(self) -> None:
        if self._table.has_accounts != self.has_accounts:
            self.has_accounts = self._table.has_accounts
            if self._accounts_changed is not None:
                self._accounts_changed(self.has_accounts)

    def _fail(self, reason: str) -> None:
        now = time.monotonic()
        if self.failed is None:
            self._failed_at = now
            _log.error("keys are not refreshed, the last known ones work for %d s more: %s", MAX_STALE_SECONDS, reason)
        self.failed = reason
        if now - self._failed_at >= MAX_STALE_SECONDS and not self._is_stale:
            _log.error(
                "keys could not be read for %d s, and are all refused until they can: %s", MAX_STALE_SECONDS, reason
            )
            # A key that was revoked meanwhile must not stay valid for ever.
            self._is_stale = True
            self._table.clear()
            self._reader.reset()


def local_id(name: str) -> str:
    """The id of a key of this name that no database has."""
    return f"key_{hashlib.sha256(name.encode()).hexdigest()[:12]}"
