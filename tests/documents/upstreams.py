"""Generates the reference of the presets, in Markdown, from their data."""

from collections.abc import Iterator

from proxy.config.presets import PRESETS
from proxy.config.presets.schemas import Preset

_OPENING = """\
# Upstreams

An upstream is one account at one provider: `[upstreams.NAME]` in the configuration. Its `kind` names the provider,
whose address, credential header, formats and support for `stream_options` are known. Settings of the configuration
always take precedence: `base_url`, `formats`, `headers`, `query`, `stream_options`.

```toml
[upstreams.openai]
kind = "openai"                    # base_url is known
api_key = "${OPENAI_API_KEY}"

[upstreams.house]                  # no kind: any server with OpenAI's formats
base_url = "http://127.0.0.1:8000/v1"
```

- An endpoint uses the targets of the alias that have its format: `/v1/messages` those with `anthropic`,
  `/v1beta/models/…` those with `gemini`, everything else those with `openai`. An alias may mix them, and then works on
  all endpoints. Behind these it uses those into whose format it is [translated](translation.md); without a target for
  an endpoint the response is a 400.
- `formats` sets the formats of an upstream where its kind does not know them: `formats = ["openai", "anthropic"]` for a
  LiteLLM of kind `compatible`. Requests in a format that the kind does not have are sent below the same `base_url`,
  with the credential in the header that is usual for the format.
- Where OpenAI's formats have an address of their own, that is a second upstream, of kind `compatible`. The sections
  below name the address. `prometheus-gateway config check` warns of aliases that OpenAI's endpoints, or `/v1/messages`,
  refuse; `prometheus-gateway models` shows the formats of each.
- An upstream is reached directly, whatever `HTTPS_PROXY` says in the environment, or through the forward proxy of its
  `proxy`: by CONNECT with TLS inside, checked against the upstream's own name, where `base_url` is https; else each
  request names its address in full to the proxy, which can then read and change it. `proxy = "env"` takes what the
  environment says (`HTTPS_PROXY` or `HTTP_PROXY`, else `ALL_PROXY`; and `NO_PROXY`). The connection to the proxy itself
  has no TLS. A proxy that does not connect counts as an upstream that cannot be reached.
- `socket` is the Unix socket at which the upstream listens; the host of `base_url` is then only a name.
- `client_cert` and `client_key` are the certificate for an upstream that requires one. A reload reads new files at the
  same paths; running requests end on their connections.
- `config check` also warns when a credential would go over plain http to a host that is neither this machine nor of
  the local network, when a provider that needs a credential has none, when a well-known address has a kind that does
  not fit it, and when a `base_url` ends in an endpoint's path or lacks the version that its kind has.
- `prometheus-gateway doctor` requests the list of models of each upstream, as `serve` does when it starts. It reports a
  credential that is refused, a `base_url` that works where the configured one does not, errors of TLS, and models of
  targets that the upstream does not list. A provider without such a list is only a warning.
- A key uses the models of its aliases only. Some providers let a request choose others, in further fields (`models`,
  `fallbacks`, a tool's `model`): where a kind is known to, or might, such a field is a 400. `client_models = true`
  forwards it unchecked; what ran is then billed at the alias's price. Kinds that do not read such a field get it as it
  is.
- The model after the first slash of a target is sent as it is, with further slashes.

| kind | provider | formats | credential | `base_url` | `stream_options` |
|---|---|---|---|---|---|
"""


def reference() -> str:
    """The document of all kinds."""
    rows = (_row(kind, preset) for kind, preset in PRESETS.items())
    sections = (line for kind, preset in PRESETS.items() for line in _section(kind, preset))
    return _OPENING + "\n".join((*rows, "", *sections))


def _row(kind: str, preset: Preset) -> str:
    address = f"`{preset.base_url}`" if preset.base_url else "required"
    stream_options = "added" if preset.stream_options else "not added"
    return f"| `{kind}` | {preset.title} | {_formats(preset)} | {_credential(preset)} | {address} | {stream_options} |"


def _formats(preset: Preset) -> str:
    return ", ".join(f"`{name}`" for name in sorted(preset.dialects, key=lambda name: (name != "openai", name)))


def _credential(preset: Preset) -> str:
    return f"`{preset.auth_header}: {preset.auth_prefix}…`"


def _choosing(preset: Preset) -> str:
    """A sentence on the fields that are refused because they choose models beside the aliases of the key."""
    fields = ", ".join(f"`{name}`" for name in sorted(preset.choosing))
    inside = ", ".join(f"`{name}`" for name in sorted(preset.choosing_in))
    parts = [fields] if fields else []
    if inside:
        parts.append(f"a `model` inside of {inside}")
    return f"Refused, because it chooses further models: {'; '.join(parts)}. `client_models = true` forwards it."


def _section(kind: str, preset: Preset) -> Iterator[str]:
    yield f"## `{kind}`: {preset.title}"
    yield ""
    if preset.note:
        yield preset.note
        yield ""
    if preset.client_ids:
        names = ", ".join(f"`{name}`" for name in sorted(preset.client_ids))
        yield f"Not forwarded, because a client must not choose the id of what is created in a shared account: {names}."
        yield ""
    if preset.choosing or preset.choosing_in:
        yield _choosing(preset)
        yield ""
    for name, value in preset.headers.items():
        yield f"Sends `{name}: {value}` unless `headers` has another."
        yield ""
    yield "```toml"
    yield f"[upstreams.{kind}]"
    yield f'kind = "{kind}"'
    if not preset.base_url:
        yield f'base_url = "{preset.example_url}"'
    if preset.base_url or kind in ("azure", "compatible"):
        yield f'api_key = "${{{kind.upper()}_API_KEY}}"'
    if preset.compatible_url:
        yield ""
        yield f"[upstreams.{kind}-compatible]"
        yield 'kind = "compatible"'
        yield f'base_url = "{preset.compatible_url}"'
        yield f'api_key = "${{{kind.upper()}_API_KEY}}"'
    yield "```"
    yield ""


if __name__ == "__main__":
    print(reference(), end="")
