"""What a preset says of a kind of upstream. The shape only; the data is beside it, one file each."""

import msgspec


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of upstream."""

    #: Its name, for people.
    title: str
    #: Where it lives when the configuration does not say; empty where it must.
    base_url: str = ""
    #: An address as it may look, where the configuration must say it.
    example_url: str = ""
    #: Where its OpenAI-compatible paths live, if that is another address or another way to show the credential.
    compatible_url: str = ""
    #: The families of formats that it speaks.
    dialects: frozenset[str] = frozenset({"openai"})
    #: How the credential is sent.
    auth_header: str = "authorization"
    auth_prefix: str = "Bearer "
    #: Headers that every request has, unless the configuration sets them.
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    #: Paths that are not below its base URL: as they are elsewhere -> from the host's root.
    paths: dict[str, str] = msgspec.field(default_factory=dict)
    #: Whether `stream_options` may be added to streaming requests.
    stream_options: bool = True
    #: Fields of a request by which its client chooses the id of what is made. They are not passed on: the ids of an
    #: account belong to all keys, and an upstream may hand out, or overwrite, what has the id already.
    client_ids: frozenset[str] = frozenset()
    #: Fields of a body by which a client may choose further models of the account, beside `model`.
    choosing: frozenset[str] = frozenset()
    #: Fields of a body inside of which a `model` or the like does so.
    choosing_in: frozenset[str] = frozenset()
    #: What one should know, in a sentence or two; Markdown.
    note: str = ""
