"""The reference of the configuration, in Markdown, from the tree: `docs/configuration.md`."""

from collections.abc import Iterator
from inspect import getdoc

import msgspec
from msgspec import inspect

from proxy.config.descriptions import describe
from proxy.config.rules import PRICE_KINDS
from proxy.config.schema import SECTIONS, help_texts
from proxy.config.toml_format import toml_value
from proxy.config.tree import Section

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


class Setting(msgspec.Struct, frozen=True):
    """The description of one setting."""

    name: str
    #: The values that it may have.
    kind: str
    #: As it is written in TOML; None when there is none or the setting is required.
    default: str | None
    required: bool
    help: str


def settings(section: type[msgspec.Struct]) -> Iterator[Setting]:
    """The settings of a section in the order of the tree."""
    info = inspect.type_info(section)
    assert isinstance(info, inspect.StructType)
    texts = help_texts(section)
    for field in info.fields:
        value = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            # The reference does not mention empty defaults.
            value = field.default_factory() or None
        is_shown = value not in (msgspec.NODEFAULT, None, "") and not isinstance(value, msgspec.Struct)
        default = toml_value(value) if is_shown else None
        yield Setting(field.name, describe(field.type), default, field.required, texts.get(field.name, ""))


def reference() -> str:
    """The reference of all settings, in Markdown."""
    sections = (line for section in SECTIONS for line in _section_reference(section))
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


if __name__ == "__main__":
    print(reference(), end="")
