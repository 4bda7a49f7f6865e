"""What an alias stands for once the configuration is compiled: targets with their pools and ready-made request heads.

Values and string building only; connections are the pool's, choosing and retrying is the relay's.
"""

from urllib.parse import urlsplit

import msgspec

from proxy.config.tree import Model, OnDisconnect, Upstream, split_target
from proxy.ledger.pricing import CompiledPrice, compile_price
from proxy.upstream.pool import Pool

USER_AGENT = "prometheus-gateway"


class Target(msgspec.Struct, frozen=True):
    """One upstream model that can serve an alias."""

    pool: Pool
    model: str
    #: The head of a request up to the target's path, and from behind it on.
    before_path: bytes
    after_path: bytes

    @property
    def upstream(self) -> Upstream:
        return self.pool.upstream

    def head(self, path: bytes, forwarded: bytes, length: int) -> bytes:
        """The request head for a POST of `length` bytes; `path` is below the base URL, `forwarded` are header lines."""
        return b"POST %b%b%b%bcontent-length: %d\r\n\r\n" % (
            self.before_path,
            path,
            self.after_path,
            forwarded,
            length,
        )


class Alias(msgspec.Struct, frozen=True):
    """A stable name as the relay needs it."""

    name: str
    capability: str
    targets: tuple[Target, ...]
    price: CompiledPrice | None
    on_disconnect: OnDisconnect


def compile_target(target: str, pools: dict[str, Pool]) -> Target:
    """Bind "upstream/model" to its pool."""
    upstream_name, model = split_target(target)
    pool = pools[upstream_name]
    return Target(pool, model, urlsplit(pool.upstream.base_url).path.rstrip("/").encode(), head_lines(pool.upstream))


def compile_alias(name: str, model: Model, pools: dict[str, Pool], on_disconnect: OnDisconnect) -> Alias:
    """Compile one `[models.ALIAS]`; `on_disconnect` is the server's."""
    return Alias(
        name=name,
        capability=model.capability,
        targets=tuple(compile_target(target, pools) for target in model.targets),
        price=compile_price(model.price) if model.price is not None else None,
        on_disconnect=model.on_disconnect or on_disconnect,
    )


def head_lines(upstream: Upstream) -> bytes:
    """The rest of the request line and the headers that every request to an upstream has."""
    lines = [" HTTP/1.1", f"host: {urlsplit(upstream.base_url).netloc}", f"user-agent: {USER_AGENT}"]
    lines += ["accept-encoding: identity", "content-type: application/json"]
    if upstream.api_key:
        lines.append(f"authorization: Bearer {upstream.api_key}")
    lines += [f"{name.lower()}: {value}" for name, value in upstream.headers.items()]
    return "".join(line + "\r\n" for line in lines).encode("latin-1")
