"""Webhooks: events for operators, posted to an address of theirs, signed, and tried again for a day.

The signature is that of Standard Webhooks (https://github.com/standard-webhooks/standard-webhooks, spec 1.0.0). It is
never on the path of a request: the sender of an event goes on at once. One that is not delivered is logged.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import ipaddress
import logging
import random
import secrets
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from proxy.config.tree import Upstream, Webhooks
from proxy.errors import GatewayError
from proxy.upstream.client import Timeouts, UpstreamRequest
from proxy.upstream.pool import Pool
from proxy.upstream.tls import tls_context

#: Events that wait or are being tried again; of further ones the newest is dropped.
MAX_PENDING: Final = 200
#: Deliveries at once.
MAX_RUNNING: Final = 4
#: Seconds between two attempts, each up to a fifth shorter or longer; the last one again until a day has passed.
RETRY_SECONDS: Final = (5.0, 30.0, 120.0, 600.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0)
#: Seconds after which an event is given up.
MAX_AGE_SECONDS: Final = 86_400.0
MAX_RESPONSE_BYTES: Final = 16_384
_JITTER: Final = 0.2
#: What 64:ff9b::/96 begins with, which stands for the IPv4 address behind it (RFC 6052).
_NAT64: Final = 0x0064FF9B << 64
#: The first three bits of all IPv6 addresses of the internet (2000::/3, RFC 4291); what maps IPv4 elsewhere is none.
_GLOBAL_IPV6_BITS: Final = 0b001
#: Those that some versions of Python call global: of protocols, of 6to4 relays, and of a cloud's own services.
_NOT_PUBLIC: Final = ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "3fff::/20")
_SECRET_PREFIX: Final = "whsec_"
#: The receiver wants no more.
_GONE: Final = 410
_TIMEOUTS: Final = Timeouts(10.0, 10.0, 15.0, 15.0)

_log = logging.getLogger(__name__)


class WebhookFailed(GatewayError):
    """An event was not taken; `final` says that another attempt makes no sense."""

    final = False


class WebhookSender:
    """Delivers the events of one gateway. Belongs to one running event loop."""

    def __init__(self, settings: Webhooks, retry_seconds: tuple[float, ...] = RETRY_SECONDS) -> None:
        self.settings = settings
        self._retry_seconds = retry_seconds
        self._pending: set[asyncio.Task[None]] = set()
        self._running = asyncio.Semaphore(MAX_RUNNING)
        self._tls: ssl.SSLContext | None = None

    @property
    def pending(self) -> int:
        """Events that have not been delivered or given up."""
        return len(self._pending)

    def send(self, kind: str, data: Mapping[str, Any]) -> None:
        """Deliver an event in the background; `kind` is its type, such as budget.warning."""
        if len(self._pending) >= MAX_PENDING:
            _log.error("an event %s was dropped: %d others have not been delivered yet", kind, MAX_PENDING)
            return
        now = time.time()
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        body = msgspec.json.encode({"type": kind, "timestamp": moment, "data": data})
        task = asyncio.get_running_loop().create_task(self._deliver(f"msg_{secrets.token_hex(16)}", kind, body, now))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _deliver(self, id_: str, kind: str, body: bytes, created: float) -> None:
        attempt = 0
        while True:
            try:
                async with self._running:
                    await self._post(id_, body)
                return
            except (GatewayError, OSError) as error:
                # The words of the receiver are not logged, and neither is the address, which may have a secret in it.
                reason = error.message if isinstance(error, GatewayError) else f"not reached: {error.strerror or error}"
                is_final = isinstance(error, WebhookFailed) and error.final
            seconds = self._retry_seconds[min(attempt, len(self._retry_seconds) - 1)]
            seconds *= random.uniform(1 - _JITTER, 1 + _JITTER)
            attempt += 1
            if is_final or time.time() + seconds > created + MAX_AGE_SECONDS:
                _log.error("webhook: the event %s (%s) was not delivered and is given up: %s", id_, kind, reason)
                return
            if attempt == 1:
                _log.warning("webhook: the event %s (%s) was not delivered; it is tried again: %s", id_, kind, reason)
            await asyncio.sleep(seconds)

    async def _post(self, id_: str, body: bytes) -> None:
        """One attempt. Raises `GatewayError` and OSError."""
        settings = self.settings
        url = urlsplit(settings.url)
        host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
        address = await allowed_address(host, port, allow_private=settings.allow_private)
        # Its own connection, to the address that was checked: a name may mean another one the next time.
        upstream = Upstream(base_url=f"{url.scheme}://{url.netloc}", warm_connections=0, max_connections=1)
        if url.scheme == "https" and self._tls is None:
            self._tls = await asyncio.to_thread(tls_context, "webhooks", upstream)
        pool = Pool("webhooks", upstream, self._tls, address=address)
        call = UpstreamRequest(pool, timeouts=_TIMEOUTS)
        try:
            await call.send(_head(settings, id_, int(time.time()), body), body)
            await call.read_prefix(MAX_RESPONSE_BYTES)
        finally:
            call.close()
            await pool.close()
        if not 200 <= call.status < 300:
            failure = WebhookFailed(f"status {call.status}")
            failure.final = call.status == _GONE
            raise failure


def _head(settings: Webhooks, id_: str, moment: int, body: bytes) -> bytes:
    url = urlsplit(settings.url)
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    lines = [
        f"POST {target} HTTP/1.1",
        f"host: {url.netloc}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "user-agent: prometheus-gateway",
        f"webhook-id: {id_}",
        f"webhook-timestamp: {moment}",
    ]
    if settings.secret:
        lines.append(f"webhook-signature: {signature(settings.secret, id_, moment, body)}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def signature(secret: str, id_: str, moment: int, body: bytes) -> str:
    """The signature of an event: `v1,` and the base64 of an HMAC-SHA256 over id, time and body."""
    key = secret.encode()
    if secret.startswith(_SECRET_PREFIX):
        try:
            key = base64.b64decode(secret[len(_SECRET_PREFIX) :], validate=True)
        except binascii.Error:
            # No base64 after all: the receiver has it as it stands.
            key = secret.encode()
    signed = hmac.new(key, f"{id_}.{moment}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


async def allowed_address(host: str, port: int, *, allow_private: bool) -> str:
    """The address of a host to connect to. Raises `WebhookFailed` where one of them may not be, and OSError."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise WebhookFailed("its host is no name") from error
    addresses = [str(entry[4][0]) for entry in found]
    if not allow_private:
        for address in addresses:
            if not is_public(address):
                raise WebhookFailed(
                    "its address is private; set allow_private = true in [webhooks] if it is meant to be"
                )
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet, and not of this machine, its networks or a cloud's metadata."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        # Those that stand for an IPv4 address are as public as that.
        inner = parsed.ipv4_mapped or parsed.sixtofour
        if inner is not None:
            return is_public(str(inner))
        if int(parsed) >> 32 == _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)))
        if int(parsed) >> 125 != _GLOBAL_IPV6_BITS:
            return False
    is_reserved = any(parsed in ipaddress.ip_network(network) for network in _NOT_PUBLIC)
    return parsed.is_global and not parsed.is_multicast and not is_reserved
