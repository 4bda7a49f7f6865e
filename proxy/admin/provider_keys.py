"""Rotated keys of upstreams: a new one is pending, promoted in place of the file's, and may be rolled back.

The configuration file owns upstreams; a promoted key is the one override, kept for the owner alone in the data
directory. It ends when the file's own value changes. No method logs a key, and `masked` is the only way to show one.
"""

import contextlib
import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from proxy.config.rules import credential
from proxy.config.tree import Config
from proxy.errors import InvalidRequest, StoreFailed

FILE_NAME: Final = "provider-keys.json"
LOCK_NAME: Final = "provider-keys.lock"
#: Seconds after a promotion in which it may be rolled back, and in which running requests end with the key before.
DRAIN_SECONDS: Final = 30
MAX_KEY_CHARACTERS: Final = 4_096
_MIN_MASKED_CHARACTERS: Final = 9

Status = Literal["idle", "pending", "draining"]


class Rotation(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored of one upstream. Times are in seconds since 1970."""

    provider: str
    #: SHA-256 of the value that the file had: with another one in the file all of this counts no more.
    file_digest: str
    #: The new key that waits for its promotion.
    pending: str = ""
    #: The key in force in place of the file's; empty where that is in force.
    promoted: str = ""
    #: The key that was in force before the promotion, until `drain_until`.
    previous: str = ""
    drain_until: int = 0
    updated_at: int = 0
    #: What has happened to it by itself.
    note: str = ""

    def status(self, now: float) -> Status:
        """Where the rotation stands."""
        if self.previous and now < self.drain_until:
            return "draining"
        return "pending" if self.pending else "idle"


class ProviderKeys:
    """The rotations of one data directory, which all workers share. Methods read and write files: not for the loop.

    All raise `StoreFailed` where the file cannot be read or written.
    """

    def __init__(self, data_dir: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = data_dir / FILE_NAME
        self._lock_path = data_dir / LOCK_NAME
        self._clock = clock
        #: The configuration as it is written, without any override.
        self.written = Config()
        #: Upstreams whose new key was promoted a moment ago, with the time until which it may be rolled back.
        self.draining: dict[str, int] = {}

    def adopt(self, written: Config, rotations: Mapping[str, Rotation]) -> None:
        """A configuration is in force from now on, with these rotations."""
        self.written = written
        self.draining = {name: one.drain_until for name, one in rotations.items() if one.previous}

    def current(self, written: Config) -> dict[str, Rotation]:
        """The rotations that count for a configuration, by upstream."""
        return {
            one.provider: one
            for one in self._read()
            if one.provider in written.upstreams and one.file_digest == digest(written.upstreams[one.provider].api_key)
        }

    def now(self) -> float:
        """Seconds since 1970."""
        return self._clock()

    def find(self, name: str) -> Rotation:
        """The rotation of an upstream, idle where there was none. Raises `InvalidRequest` for an unknown one."""
        found = self.current(self.written).get(name)
        return found or self._fresh(name)

    def primary(self, rotation: Rotation) -> str:
        """The key in force."""
        return rotation.promoted or self.written.upstreams[rotation.provider].api_key

    def check(self, name: str, key: str) -> Rotation:
        """The rotation of an upstream, where a new key could be kept now. Raises `InvalidRequest`."""
        with self._changing(name) as (rotation, _):
            self._check(rotation, key)
            return rotation

    def start(self, name: str, key: str) -> Rotation:
        """Keep a new key as pending. Raises `InvalidRequest`."""
        with self._changing(name) as (rotation, store):
            self._check(rotation, key)
            return store(msgspec.structs.replace(rotation, pending=key, previous="", drain_until=0, note=""))

    def promote(self, name: str) -> Rotation:
        """Put the pending key in force; the one before may be restored for `DRAIN_SECONDS`. Raises `InvalidRequest`."""
        with self._changing(name) as (rotation, store):
            self._require(rotation, "pending", "promote the key")
            until = int(self._clock()) + DRAIN_SECONDS
            return store(
                msgspec.structs.replace(
                    rotation,
                    pending="",
                    promoted=rotation.pending,
                    previous=self.primary(rotation),
                    drain_until=until,
                )
            )

    def roll_back(self, name: str, note: str = "") -> Rotation:
        """Drop a pending key, or restore the one before a promotion that is draining. Raises `InvalidRequest`."""
        with self._changing(name) as (rotation, store):
            status = rotation.status(self._clock())
            if status == "idle":
                raise self._wrong_state(rotation, "roll back the key")
            promoted = rotation.promoted
            if status == "draining":
                is_files = rotation.previous == self.written.upstreams[name].api_key
                promoted = "" if is_files else rotation.previous
            return store(
                msgspec.structs.replace(rotation, pending="", promoted=promoted, previous="", drain_until=0, note=note)
            )

    def _fresh(self, name: str) -> Rotation:
        upstream = self.written.upstreams.get(name)
        if upstream is None:
            raise unknown_provider(name)
        return Rotation(provider=name, file_digest=digest(upstream.api_key))

    @contextlib.contextmanager
    def _changing(self, name: str) -> "Iterator[tuple[Rotation, Callable[[Rotation], Rotation]]]":
        """The rotation of an upstream and what stores another one, under a lock of all workers."""
        self._fresh(name)
        if not self.written.upstreams[name].api_key:
            message = (
                f"The upstream `{name}` has several keys (api_keys): change one in the configuration, and reload it."
                if self.written.upstreams[name].api_keys
                else f"The upstream `{name}` has no api_key in the configuration, so there is none to rotate."
            )
            raise InvalidRequest(message, status=409, code="no_api_key")
        try:
            lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._failed("locked", error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            rotations = self.current(self.written)
            yield rotations.get(name) or self._fresh(name), lambda changed: self._store(rotations, changed)
        finally:
            os.close(lock)

    def _store(self, rotations: dict[str, Rotation], changed: Rotation) -> Rotation:
        changed = msgspec.structs.replace(changed, updated_at=int(self._clock()))
        now = self._clock()
        kept = [
            # The key before is dropped once it cannot be restored any more.
            one if one.status(now) == "draining" else msgspec.structs.replace(one, previous="", drain_until=0)
            for one in {**rotations, changed.provider: changed}.values()
        ]
        part = self.path.with_name(f".{FILE_NAME}.{secrets.token_hex(8)}.part")
        try:
            part.touch(mode=0o600, exist_ok=False)
            part.write_bytes(msgspec.json.format(msgspec.json.encode(kept)))
            part.replace(self.path)
        except OSError as error:
            raise self._failed("written", error) from error
        finally:
            part.unlink(missing_ok=True)
        return changed

    def _read(self) -> list[Rotation]:
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._failed("read", error) from error
        try:
            return msgspec.json.decode(data, type=list[Rotation])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StoreFailed(
                f"{self.path} is damaged; move it away, and the keys of the configuration file are used again"
            ) from error

    def _check(self, rotation: Rotation, key: str) -> None:
        for violation, hint in credential(key):
            raise InvalidRequest(f"new_key {violation}: {hint}.", param="new_key")
        if not 1 <= len(key) <= MAX_KEY_CHARACTERS:
            raise InvalidRequest(f"new_key must have 1 to {MAX_KEY_CHARACTERS} characters.", param="new_key")
        self._require(rotation, "idle", "start a rotation")
        if secrets.compare_digest(key.encode(), self.primary(rotation).encode()):
            message = "new_key is the key that is in force already."
            raise InvalidRequest(message, status=409, code="rotation_state", param="new_key")

    def _require(self, rotation: Rotation, wanted: Status, what: str) -> None:
        if rotation.status(self._clock()) != wanted:
            raise self._wrong_state(rotation, what)

    def _wrong_state(self, rotation: Rotation, what: str) -> InvalidRequest:
        status = rotation.status(self._clock())
        hint = {
            "idle": "there is no rotation; POST …/rotate starts one",
            "pending": "a new key is pending; promote it or roll it back first",
            "draining": f"the last promotion is draining until {rotation.drain_until}; wait, or roll it back",
        }[status]
        message = f"cannot {what} of provider {rotation.provider}: {hint}."
        return InvalidRequest(message, status=409, code="rotation_state")

    def _failed(self, what: str, error: OSError) -> StoreFailed:
        return StoreFailed(f"{self.path} cannot be {what}: {error.strerror or error}")


def with_promoted(written: Config, rotations: Mapping[str, Rotation]) -> Config:
    """A configuration with the promoted keys in place of its own."""
    upstreams = {
        name: msgspec.structs.replace(upstream, api_key=rotations[name].promoted)
        if name in rotations and rotations[name].promoted
        else upstream
        for name, upstream in written.upstreams.items()
    }
    return msgspec.structs.replace(written, upstreams=upstreams)


def unknown_provider(name: str, status: int = 409) -> InvalidRequest:
    """The refusal of a name that no upstream has."""
    return InvalidRequest(f"provider {name[:64]!r} not found.", status=status, code="provider_not_found")


def digest(key: str) -> str:
    """By which a changed value of the file is noticed."""
    return hashlib.sha256(key.encode()).hexdigest()


def masked(key: str) -> str:
    """A key as it may be shown: its first and last four characters, if it is long enough."""
    if not key:
        return ""
    return f"{key[:4]}...{key[-4:]}" if len(key) >= _MIN_MASKED_CHARACTERS else "***"
