"""What a preset says of a kind of upstream."""

import msgspec


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of upstream."""

    #: Where it lives when the configuration does not say; empty where it must.
    base_url: str
    #: The families of formats that it speaks.
    dialects: frozenset[str]
    #: How the credential is sent.
    auth_header: str = "authorization"
    auth_prefix: str = "Bearer "
    #: Headers that every request has, unless the configuration sets them.
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    #: Whether `stream_options` may be added to streaming requests.
    stream_options: bool = True
