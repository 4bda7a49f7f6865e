"""The reference of the presets, in Markdown: made from their data, so that there is nothing to keep up to date."""

from collections.abc import Iterator

from proxy.config.presets import PRESETS
from proxy.config.presets.preset import Preset

_OPENING = """\
# Upstreams

An upstream is one account at one provider: `[upstreams.NAME]` in the configuration. Its `kind` says what the provider
is: where it lives, how it wants the credential, which formats it speaks, and whether it can be asked for the usage of
a stream. What the configuration says itself always wins: `base_url`, `formats`, `headers`, `query`, `stream_options`.

```toml
[upstreams.openai]
kind = "openai"                    # base_url is known
api_key = "${OPENAI_API_KEY}"

[upstreams.house]                  # no kind: anything that speaks OpenAI's formats
base_url = "http://127.0.0.1:8000/v1"
```

- Nothing is translated. An endpoint goes to the targets of the alias that speak its format: `/v1/messages` to those
  that speak `anthropic`, `/v1beta/models/…` to those that speak `gemini`, everything else to those that speak
  `openai`. An alias may mix them, and then works on all; one without a target for an endpoint answers it with a 400.
- `formats` says which formats an upstream speaks, where its kind does not know: `formats = ["openai", "anthropic"]` for
  a LiteLLM of kind `compatible`. A format that is not the kind's own is asked for with the header that its makers want
  the credential in, and below the same `base_url`.
- Where OpenAI's formats live at an address of their own, that is a second upstream, of kind `compatible`. The sections
  below name the address. `prometheus-gateway config check` warns of aliases that OpenAI's endpoints, or `/v1/messages`,
  cannot use; `prometheus-gateway models` shows the formats of each.
- An upstream is reached directly, whatever `HTTPS_PROXY` says in the environment, or through the forward proxy of its
  `proxy`: by CONNECT with TLS inside, checked against the upstream's own name, where `base_url` is https; else each
  request names its address in full to the proxy, which can then read and change it. `proxy = "env"` takes what the
  environment says (`HTTPS_PROXY` or `HTTP_PROXY`, else `ALL_PROXY`; and `NO_PROXY`). A proxy is spoken to without TLS.
  One that gives no connection counts as an upstream that cannot be reached.
- `socket` is the Unix socket at which the upstream listens; the host of `base_url` is then only a name.
- `client_cert` and `client_key` are shown to an upstream that asks for a certificate. A reload takes new files at the
  same paths; requests that run end on the connections that they have.
- `config check` also warns when a credential would go over plain http to a host that is neither this machine nor of
  the local network, when a provider that needs a credential has none, when a well-known address stands under a kind
  that does not fit it, and when a `base_url` ends in an endpoint's path or lacks the version that its kind has.
- `prometheus-gateway doctor` asks each upstream for its models, as `serve` does when it starts. It says when the
  credential is refused, which `base_url` would answer where this one does not, what is wrong with TLS, and which model
  of a target the upstream does not list. A provider without such a list is only a warning.
- A key uses the models of its aliases only. Some providers let a body choose others, in further fields (`models`,
  `fallbacks`, a tool's `model`): where a kind is known to, or might, such a field is a 400. `client_models = true` lets
  it pass unchecked; whatever ran is then billed at the alias's price. Kinds that do not read such a field get it as it
  is.
- The model behind the first slash of a target is sent as it is, further slashes and all.

| kind | provider | formats | credential | `base_url` | `stream_options` |
|---|---|---|---|---|---|
"""


def reference() -> str:
    """Make the document of all kinds."""
    rows = (_row(kind, preset) for kind, preset in PRESETS.items())
    sections = (line for kind, preset in PRESETS.items() for line in _section(kind, preset))
    return _OPENING + "\n".join((*rows, "", *sections))


def _row(kind: str, preset: Preset) -> str:
    address = f"`{preset.base_url}`" if preset.base_url else "required"
    asked = "added" if preset.stream_options else "not added"
    return f"| `{kind}` | {preset.title} | {_formats(preset)} | {_credential(preset)} | {address} | {asked} |"


def _formats(preset: Preset) -> str:
    return ", ".join(f"`{name}`" for name in sorted(preset.dialects, key=lambda name: (name != "openai", name)))


def _credential(preset: Preset) -> str:
    return f"`{preset.auth_header}: {preset.auth_prefix}…`"


def _choosing(preset: Preset) -> str:
    """What of a body is refused because it chooses models that no alias of the key stands for."""
    fields = ", ".join(f"`{name}`" for name in sorted(preset.choosing))
    inside = ", ".join(f"`{name}`" for name in sorted(preset.choosing_in))
    parts = [fields] if fields else []
    if inside:
        parts.append(f"a `model` inside of {inside}")
    return f"Refused, because it chooses further models: {'; '.join(parts)}. `client_models = true` lets it pass."


def _section(kind: str, preset: Preset) -> Iterator[str]:
    yield f"## `{kind}`: {preset.title}"
    yield ""
    if preset.note:
        yield preset.note
        yield ""
    if preset.client_ids:
        names = ", ".join(f"`{name}`" for name in sorted(preset.client_ids))
        yield f"Not passed on, because a client must not choose the id of what is made in everybody's account: {names}."
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
