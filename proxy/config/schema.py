"""Generates the JSON Schema of the configuration file, for editors, and its reference, for people.

Both are generated from the tree; there is nothing to keep up to date here.
"""

from collections.abc import Iterator
from inspect import getdoc
from typing import Any

import msgspec

from proxy.config.fields import help_texts, settings
from proxy.config.rules import PRICE_KINDS
from proxy.config.tree import Config, Model, Price, Section, Server, TierPrice, Upstream

_SECTIONS: tuple[type[Section], ...] = (Server, Upstream, Model, Price, TierPrice)

_OPENING = """\
# Configuration

The gateway reads one TOML file. `prometheus-gateway init` writes one to start from, `prometheus-gateway config check`
names every fault in it with its line and warns of what is odd, `prometheus-gateway config show` prints what is in
force, and `prometheus-gateway config schema` prints a JSON schema with which editors complete and check it.

- Unknown keys are faults: a misspelt setting never falls back to its default in silence.
- Times are seconds and sizes are bytes, as plain numbers.
- Credentials stand in the file by reference. `"${NAME}"` reads the environment variable `NAME`; it may be part of an
  `api_key`, a `base_url`, a `proxy` or a value in `headers` or `query`. `"file:PATH"`, for `api_key` and `proxy` alone,
  reads the first line of a file. A variable that is not set and a file that cannot be read are faults.
- A relative `file:PATH`, `ca_file`, `client_cert`, `client_key` or `socket` is looked for beside the configuration
  file, `data_dir` in the working directory.
- The file owns upstreams, models and prices. Keys and usage are in the data directory, never in the file.
"""


_EXAMPLE = """\
## An example

```toml
[server]
host = "0.0.0.0"

[upstreams.openai]
kind = "openai"
api_key = "${OPENAI_API_KEY}"

[upstreams.local]
base_url = "http://127.0.0.1:8000/v1"
first_byte_timeout = 60

[models.prometheus-core]
capability = "chat"
targets = ["openai/gpt-5", "local/qwen3-32b"]
price = { input = "1.10", output = "4.40" }
```
"""


def schema() -> dict[str, Any]:
    """The JSON Schema of the file, with the help texts of all settings."""
    document: dict[str, Any] = msgspec.json.schema(Config)
    document["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    document["title"] = "Prometheus Gateway configuration"
    for section in _SECTIONS:
        properties = document["$defs"][section.__name__]["properties"]
        for name, text in help_texts(section).items():
            properties[name]["description"] = text
    return document


def reference() -> str:
    """The reference of all settings, in Markdown."""
    sections = (line for section in _SECTIONS for line in _section_reference(section))
    return "\n".join((_OPENING, *sections, *_price_reference(), _EXAMPLE))


def _section_reference(section: type[Section]) -> Iterator[str]:
    title, _, text = (getdoc(section) or "").partition(": ")
    yield f"## {title}"
    yield ""
    yield text[:1].upper() + text[1:]
    yield ""
    yield "| key | holds | default | meaning |"
    yield "|---|---|---|---|"
    for setting in settings(section):
        default = "required" if setting.required else "" if setting.default is None else f"`{setting.default}`"
        yield f"| `{setting.name}` | {setting.kind} | {default} | {setting.help} |"
    yield ""


def _price_reference() -> Iterator[str]:
    yield "| capability | priced by |"
    yield "|---|---|"
    for capability, groups in PRICE_KINDS.items():
        yield f"| {capability} | {', or '.join(', '.join(f'`{kind}`' for kind in group) for group in groups)} |"
    yield ""
