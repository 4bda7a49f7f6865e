"""The struct of a preset; the presets are beside it, one file each."""

import msgspec


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one kind of upstream."""

    #: Its name, for people.
    title: str
    #: Its address by default; empty where the configuration must set it.
    base_url: str = ""
    #: An example of an address, where the configuration must set it.
    example_url: str = ""
    #: The address of its OpenAI-compatible paths, if they have another address or another credential header.
    compatible_url: str = ""
    #: The families of formats that it has.
    dialects: frozenset[str] = frozenset({"openai"})
    #: How the credential is sent.
    auth_header: str = "authorization"
    auth_prefix: str = "Bearer "
    #: Default headers of every request.
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    #: Paths that are not below its base URL: the usual path -> the path from the root of the host.
    paths: dict[str, str] = msgspec.field(default_factory=dict)
    #: Whether `stream_options` may be added to streaming requests.
    stream_options: bool = True
    #: The field of a chat completion that bounds its output, for requests that are translated.
    max_tokens_field: str = "max_tokens"
    #: Request fields by which a client chooses the id of what is created. They are not forwarded: all keys share the
    #: account, and an upstream might return, or overwrite, what already has the id.
    client_ids: frozenset[str] = frozenset()
    #: Request fields by which a client may choose further models of the account, beside `model`.
    choosing: frozenset[str] = frozenset()
    #: Request fields that may contain such a field, as `tools` may contain a `model`.
    choosing_in: frozenset[str] = frozenset()
    #: A note for the reference, in Markdown.
    note: str = ""
