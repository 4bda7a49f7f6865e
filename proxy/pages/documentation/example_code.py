"""How the examples of the docs page are written: calls by curl, and programs in Python and JavaScript.

Whatever stands in them is quoted for the language: an alias's name may have characters of a shell.
"""

import json
import shlex
from collections.abc import Mapping
from typing import Any, Final

from proxy.pages.documentation.blocks import Code, Sample
from proxy.pages.documentation.facts import Facts

#: Stands for the file in a body. No alias has it in its name.
IMAGE: Final = "\0"
_PYTHON_HEAD: Final = """\
import os
{imports}from openai import OpenAI

client = OpenAI(
    api_key=os.environ["PROMETHEUS_API_KEY"],
    base_url={base_url},
)
"""
_JAVASCRIPT_HEAD: Final = """\
import OpenAI from "openai"
{imports}
const client = new OpenAI({{
  apiKey: process.env.PROMETHEUS_API_KEY,
  baseURL: {base_url},
}})
"""


def curl(
    facts: Facts, path: str, body: Mapping[str, Any], *, options: str = "-sS", headers: tuple[str, ...] = ()
) -> str:
    """A call with a body of JSON."""
    head = "".join(f"  -H {one} \\\n" for one in headers or ('"Authorization: Bearer $PROMETHEUS_API_KEY"',))
    return (
        f"curl {options} {shlex.quote(facts.origin + path)} \\\n{head}"
        f'  -H "Content-Type: application/json" \\\n  -d {shlex.quote(pretty(body))}'
    )


def python(facts: Facts, text: str, *, imports: str = "") -> str:
    """A program with OpenAI's SDK for Python."""
    head = _PYTHON_HEAD.format(imports=imports, base_url=json.dumps(facts.base_url))
    return f"{head}\n{text}"


def javascript(facts: Facts, text: str, *, imports: str = "") -> str:
    """A program with OpenAI's SDK for JavaScript, as a module."""
    head = _JAVASCRIPT_HEAD.format(imports=imports, base_url=json.dumps(facts.base_url))
    return f"{head}\n{text}"


def sample(id_: str, title: str, text: str, in_curl: str, in_python: str, in_javascript: str) -> Sample:
    codes = (
        Code("bash", in_curl, "curl"),
        Code("python", in_python, "Python"),
        Code("javascript", in_javascript, "JavaScript"),
    )
    return Sample(f"example-{id_}", title, text, codes)


def pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def literal(value: object) -> str:
    """A value in Python or JavaScript; both read what JSON has of texts."""
    return json.dumps(value, ensure_ascii=False)


def with_image(facts: Facts, path: str, body: Mapping[str, Any]) -> str:
    """A call whose body has a file in base64, at the place of `IMAGE`."""
    text = pretty(body).replace("\\", "\\\\").replace("`", "\\`").replace("$", "\\$").replace("\\\\u0000", "$IMAGE")
    return (
        "IMAGE=$(base64 < screenshot.png | tr -d '\\n')\n"
        f"curl -sS {shlex.quote(facts.origin + path)} \\\n"
        '  -H "Authorization: Bearer $PROMETHEUS_API_KEY" \\\n'
        f'  -H "Content-Type: application/json" \\\n  -d @- <<JSON\n{text}\nJSON'
    )
