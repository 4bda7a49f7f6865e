"""The table of keys in memory, by the digest of their secrets. No database and no clock: `key_reader` fills it."""

from collections.abc import Iterable
from typing import Final

import msgspec

from proxy.auth.keys import Key

#: The digest of a secret, and the time from which on it is no longer valid, in seconds since 1970.
Secret = tuple[bytes, int | None]
#: An expiry later than all others.
_NEVER: Final = 2**62


class KeyTable:
    """Maps digests to keys, and replaces or removes all secrets of a key at once."""

    def __init__(self) -> None:
        #: Each key expires when the key or the secret does, whichever is first.
        self.by_digest: dict[bytes, Key] = {}
        # Per key id, a fingerprint of what was read and its digests, so that a changed key can be replaced.
        self._entries: dict[str, tuple[int, tuple[bytes, ...]]] = {}
        self._local_ids: set[str] = set()
        #: Ids of the keys with an account that limits something.
        self._limited_ids: set[str] = set()

    @property
    def has_accounts(self) -> bool:
        """Whether any key has an account that limits something."""
        return bool(self._limited_ids)

    def put(self, key: Key, secrets: Iterable[Secret], fingerprint: int = 0) -> None:
        """Replace the entries of a key; without an await, so a request sees all of them or none."""
        self.remove(key.id)
        digests = []
        for digest, secret_expires in secrets:
            expiries = [expires for expires in (key.expires, secret_expires) if expires is not None]
            self.by_digest[digest] = msgspec.structs.replace(key, expires=min(expiries, default=None))
            digests.append(digest)
        if digests:
            self._entries[key.id] = (fingerprint, tuple(digests))
            if any(account.limits_something for account in key.accounts):
                self._limited_ids.add(key.id)

    def put_local(self, key: Key, digest: bytes) -> None:
        """Add a key that no database has, and that `retain` and `clear` keep."""
        self._local_ids.add(key.id)
        self.put(key, [(digest, None)])

    def remove(self, id_: str) -> None:
        """Remove a key. A secret that belongs to another key by now stays."""
        self._limited_ids.discard(id_)
        for digest in self._entries.pop(id_, (0, ()))[1]:
            if self.by_digest[digest].id == id_:
                del self.by_digest[digest]

    def by_id(self, id_: str) -> Key | None:
        """A key by its id, with the expiry of the secret that is valid for longest."""
        keys = [self.by_digest[digest] for digest in self._entries.get(id_, (0, ()))[1] if digest in self.by_digest]
        # Older secrets end with the grace of a rotation.
        return max(keys, key=lambda key: _NEVER if key.expires is None else key.expires, default=None)

    def is_unchanged(self, id_: str, fingerprint: int) -> bool:
        """Whether a key was last put with this fingerprint."""
        entry = self._entries.get(id_)
        return entry is not None and entry[0] == fingerprint

    def retain(self, ids: set[str]) -> None:
        """Remove all keys but these and the local ones."""
        for id_ in self._entries.keys() - ids - self._local_ids:
            self.remove(id_)

    def clear(self) -> None:
        """Remove all keys but the local ones."""
        self.retain(set())
