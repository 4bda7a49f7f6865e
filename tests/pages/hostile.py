"""A gateway whose every text from outside is hostile to a page, a file or a header. Not a test itself."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
from playwright.sync_api import Page as BrowserPage

from proxy.auth.store import Store
from proxy.auth.values import KeyFields, OrgFields, TeamFields
from proxy.config.tree import Config
from proxy.ledger.record import UsageRecord
from proxy.ledger.tries import Try, encode
from tests.ledger.ingesting import ingest
from tests.ledger.samples import final, lines, request_id, segment
from tests.pages.serving import session_of
from tests.serving import ALIAS, RunningGateway, simple_config

#: Texts that the name of a key may be.
PRINTABLE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "'><svg/onload=alert(1)>",
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "--></td></tr></table><iframe src=//a.example>",
    "javascript:alert(1)",
    "{{7*7}}{%raw%}${7*7}",
    "&lt;b&gt;<b>bold</b>",
    '" autofocus onfocus="alert(1)',
)
#: Texts that only clients and providers can send.
OTHERS = (
    "a line\u2028a separator\u2029",
    "a NUL\x00 in it",
    "\u202egnol si eman siht",
    "one\r\nset-cookie: a=b\r\n\r\n<script>alert(1)</script>",
    "data: two\n\nevent: end\ndata: {}\n\n",
)
TEXTS = (*PRINTABLE, *OTHERS)
#: What a spreadsheet calculates, or passes on to a program.
FORMULAS = (
    *("=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1+1", "\r=1+1", "\n=1+1", " =1+1", "=cmd|' /C calc'!A0", "|cmd"),
    *("\u00a0=1+1", "\ufeff=1+1", "\u200b=1+1", "\x00=1+1", "\uff1d1+1", "-2+3+cmd|' /C calc'!A0", "%0A=1+1"),
)
#: Fields of a request that hold text.
_FIELDS = (
    *("alias", "endpoint", "upstream", "upstream_model", "error_code", "requested_model", "service_tier"),
    *("unpriced_parts", "team", "org", "session", "user", "metadata"),
)
#: What a browser would make of them, did one get into a page as markup; none of it is in a page.
_MARKUP = """() => {
  const found = [];
  for (const one of document.querySelectorAll("*")) {
    for (const { name, value } of one.attributes) {
      if (name.startsWith("on")) found.push(`${one.tagName} ${name}`);
      if (["href", "src", "action", "formaction"].includes(name) && !/^(https?:|blob:|\\/(?!\\/)|#|\\?|$)/.test(value))
        found.push(`${one.tagName} ${name}=${value}`);
    }
    if (one.tagName === "SCRIPT" && !one.src && one.type !== "application/json") found.push("SCRIPT");
    if (["IFRAME", "OBJECT", "EMBED", "BASE", "B"].includes(one.tagName)) found.push(one.tagName);
  }
  return found;
}"""


class Hostile(NamedTuple):
    """The gateway, and the session of an admin and of the owner of the last key."""

    gateway: RunningGateway
    admin: str
    owner: str
    #: Ids of the keys, in the order of their names.
    keys: list[str]


def markup(page: BrowserPage) -> list[str]:
    """Elements and attributes of a page that come from no template."""
    found: list[str] = page.evaluate(_MARKUP)
    return found


def records(keys: list[str], texts: tuple[str, ...], now: float) -> list[UsageRecord]:
    """A request for each text, which all of its fields have, of one key after another."""
    started = int(now * 1_000_000)
    return [
        final(
            number,
            key=keys[number % len(keys)],
            started=started - (number + 1) * 60_000_000,
            status=502,
            outcome="upstream_error",
            attempts=2,
            cost=None if number % 2 else 1_000_000 * number,
            **dict.fromkeys(_FIELDS, text),
            tries=encode((Try(text, text, 5),)),
        )
        for number, text in enumerate(texts)
    ]


@contextmanager
def hostile(data_dir: Path, base_url: str, names: tuple[str, ...], texts: tuple[str, ...]) -> Iterator[Hostile]:
    """The gateway, with a key, a team and an organisation of each name, and a request of each text."""
    keys, secret = asyncio.run(_keys(data_dir, names))
    (data_dir / "journal").mkdir(parents=True, exist_ok=True)
    segment(data_dir / "journal", lines(*records(keys, texts, time.time())), owner="dead00000001")
    ingest(data_dir)
    with RunningGateway(config_of(data_dir, base_url)) as gateway:
        yield Hostile(gateway, session_of(gateway), session_of(gateway, secret), keys)


def config_of(data_dir: Path, base_url: str) -> Config:
    """An alias whose texts are hostile; its name may be so too, but for quotes and spaces."""
    config = simple_config(data_dir, base_url)
    model = msgspec.structs.replace(config.models[ALIAS], title=PRINTABLE[1], use=PRINTABLE[2], summary=PRINTABLE[4])
    aliases = ("<img/src=x/onerror=alert(1)>", "</script><script>alert(1)</script>", "javascript:alert(1)", "{{7*7}}")
    pictures = msgspec.structs.replace(config.models[ALIAS], capability="image")
    models = {**config.models, "pictures": pictures, **dict.fromkeys(aliases, model)}
    return msgspec.structs.replace(config, models=models)


async def _keys(data_dir: Path, names: tuple[str, ...]) -> tuple[list[str], str]:
    ids, secret = [], ""
    async with Store(data_dir) as store:
        for name in names:
            await store.orgs.create(OrgFields(name=name), actor=name)
            await store.teams.create(TeamFields(name=name, org=name), actor=name)
            fields = KeyFields(name=name, team=name, tags=[name.replace(",", ".")], metadata={name: name})
            key, secret = await store.keys.add(fields, actor=name)
            ids.append(key.id)
    return ids, secret


def request_of(texts: tuple[str, ...], text: str) -> str:
    """The id of the request that has a text."""
    return request_id(texts.index(text))
