"""Sticky sessions: the requests of a session or a conversation go to one target, whose prompt cache has its beginning.

Rendezvous hashing: each target has a score for each session, and the highest one is chosen. Nothing is stored, each
worker process and each restart chooses the same, and one target more takes over its share and moves nothing else.
"""

import math
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Final, Literal

import msgspec

from proxy.upstream.target import Target
from proxy.upstream.target_state import TargetState

#: A target may have so many times the mean of the requests in flight, and so many in any case, before its sessions
#: overflow to their next one.
MAX_LOAD: Final = 1.25
LEAST_LOAD: Final = 8
#: Sessions that failed over whose new target is remembered, and the seconds since their last request: about the life of
#: a provider's cache.
MAX_MOVED: Final = 10_000
MOVED_SECONDS: Final = 600.0
#: Bytes of each part of a conversation's beginning that are hashed from its start, and from its end where it is longer.
HEAD_BYTES: Final = 1_024
TAIL_BYTES: Final = 512
_SEPARATOR: Final = b"\0"
#: Fields that stand before the first message.
_BEFORE_MESSAGES: Final = ("system", "instructions", "systemInstruction", "system_instruction", "tools")
#: Fields with the messages, of the formats: chat and Anthropic's, Responses, Gemini's, and completions.
_MESSAGES: Final = ("messages", "input", "contents", "prompt")
#: What stands before "user" where it is a role; searched in the few bytes before it.
_BEFORE_USER: Final = re.compile(rb'([{,])\s*"role"\s*:\s*\Z')
_NEAR: Final = 40
#: What stands behind a message, and before the next one or the end.
_BETWEEN: Final = b"]}{, \t\r\n"
_USER_ID: Final = re.compile(rb'"user_id"\s*:\s*"((?:[^"\\]|\\.){1,512})"')
_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items: Final = msgspec.json.Decoder(list[msgspec.Raw])
_MASK: Final = (1 << 64) - 1
#: More than the highest score.
_SCORES: Final = float(1 << 64) * 1.0000001
_SPREAD: Final = 0x9E3779B97F4A7C15


class Affinity:
    """Chooses the target of a session among those of one alias."""

    def __init__(
        self,
        weights: Mapping[TargetState, int],
        names: Mapping[TargetState, str],
        sticky: Literal["session", "prefix"],
    ) -> None:
        """`weights` are the shares of the targets, 1 for each where they are alike; `names` what they are called, which
        must be the same in all workers and after a restart."""
        self._by_prefix = sticky == "prefix"
        self._seeds = {
            state: int.from_bytes(sha256(name.encode()).digest()[:8], "big") for state, name in names.items()
        }
        self._weights = weights
        self._is_even = len(set(weights.values())) == 1
        #: (target, until when) of sessions that failed over, the one that was used last at the end.
        self._moved: dict[int, tuple[TargetState, float]] = {}

    def of(self, key: str, alias: str, named: str, fields: Mapping[str, msgspec.Raw]) -> int:
        """The session that a request of a key belongs to, by a hash; 0 for none.

        `named` is what its head says; else the body may name one, else it is the beginning of the conversation.
        """
        if not named:
            named = _named_in(fields)
        if named:
            digest = sha256(f"{key}\0{alias}\0{named}".encode(errors="replace"))
        elif self._by_prefix:
            parts = beginning_of(fields)
            parts.append(f"{key}\0{alias}".encode())
            digest = sha256(_SEPARATOR.join(parts))
        else:
            return 0
        # Never 0.
        return int.from_bytes(digest.digest()[:8], "big") | 1

    def choose(self, targets: tuple[Target, ...], session: int, now: float) -> Target:
        """The target of a session, of those that may be tried."""
        moved = self._moved
        if moved:
            found = moved.pop(session, None)
            if found is not None and now < found[1]:
                moved[session] = (found[0], now + MOVED_SECONDS)
                for target in targets:
                    if target.state is found[0]:
                        return target
        total = 1
        for target in targets:
            total += target.state.in_flight
        most = max(math.ceil(MAX_LOAD * total / len(targets)), LEAST_LOAD)
        seeds, weights = self._seeds, self._weights
        # With room: the highest score. If none has room, which cannot be, the highest of all.
        chosen, highest = targets[0], -1.0
        for target in targets:
            state = target.state
            if state.in_flight < most:
                mixed = ((session ^ seeds[state]) * _SPREAD) & _MASK
                score = float(((mixed ^ (mixed >> 29)) * _SPREAD) & _MASK)
                if not self._is_even:
                    # As probable as its weight to be the highest.
                    score = -weights[state] / math.log((score + 1.0) / _SCORES)
                if score > highest:
                    chosen, highest = target, score
        return chosen

    def move(self, session: int, target: Target, now: float) -> None:
        """A request of the session failed over to this target: the next ones go there too, where its cache is now."""
        moved = self._moved
        moved.pop(session, None)
        if len(moved) >= MAX_MOVED:
            del moved[next(iter(moved))]
        moved[session] = (target.state, now + MOVED_SECONDS)


def _named_in(fields: Mapping[str, msgspec.Raw]) -> str:
    """The session that a body names: OpenAI's `prompt_cache_key`, or Anthropic's `metadata.user_id`."""
    value = fields.get("prompt_cache_key")
    if value is not None:
        text = bytes(value)
        if len(text) > 2 and text.startswith(b'"'):
            return text.decode(errors="replace")
    value = fields.get("metadata")
    if value is not None:
        found = _USER_ID.search(bytes(value))
        if found is not None:
            return found[1].decode(errors="replace")
    return ""


def beginning_of(fields: Mapping[str, msgspec.Raw]) -> list[bytes]:
    """What all requests of a conversation have alike: the system prompt, the tools, and the messages up to the first
    one of the user."""
    parts = [_bounded(bytes(fields[name]), len(bytes(fields[name]))) for name in _BEFORE_MESSAGES if name in fields]
    for name in _MESSAGES:
        if name in fields:
            parts.append(_first_messages(bytes(fields[name])))
            break
    return parts


def _first_messages(messages: bytes) -> bytes:
    """The raw messages up to the first of the user's, that one included, as `_bounded` has them.

    Nearly all clients write the role first: then it ends where the next role begins. Else the messages are decoded.
    """
    end = len(messages)
    at = messages.find(b'"user"')
    while at >= 0:
        if messages[at - 8 : at] == b'{"role":' or messages[at - 9 : at] == b'{"role": ':
            break
        before = _BEFORE_USER.search(messages, max(at - _NEAR, 0), at)
        if before is not None:
            if before[1] != b"{":
                first = _first_decoded(messages)
                return _bounded(first, len(first))
            break
        at = messages.find(b'"user"', at + 1)
    if at >= 0:
        following = messages.find(b'"role"', at)
        if following >= 0:
            end = following
    while end and messages[end - 1] in _BETWEEN:
        end -= 1
    return _bounded(messages, end)


def _first_decoded(messages: bytes) -> bytes:
    try:
        items = _items.decode(messages)
    except msgspec.DecodeError:
        return messages
    first: list[bytes] = []
    for item in items:
        raw = bytes(item)
        first.append(raw)
        if b'"user"' in raw and _role_of(raw) == "user":
            break
    return b"[" + b",".join(first)


def _role_of(message: bytes) -> str:
    try:
        role = _fields.decode(message).get("role")
    except msgspec.DecodeError:
        return ""
    return bytes(role).decode(errors="replace").strip('"') if role is not None else ""


def _bounded(value: bytes, end: int) -> bytes:
    """A value up to its end, which is hashed whole where it is short, else by its ends and its length."""
    if end <= HEAD_BYTES + TAIL_BYTES:
        return value[:end]
    return b"%d %b%b" % (end, value[:HEAD_BYTES], value[end - TAIL_BYTES : end])
