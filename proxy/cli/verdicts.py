"""What an upstream's answer to a GET of its models says about the configuration, in words and with the mend.

No credential and nothing of an answer's body but the names of models gets into a message.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec

from proxy.cli import probe
from proxy.cli.probe import Answer, get_models, models_url
from proxy.config.addresses import base_url_warnings, with_version, without_endpoint
from proxy.config.presets import PRESETS
from proxy.config.problems import did_you_mean
from proxy.config.tree import Kind, Upstream
from proxy.errors import GatewayError, UpstreamDropped, UpstreamFailed, UpstreamProtocolError, UpstreamTimeout

#: Kinds of upstreams that list no models, so that a 404 tells nothing.
_LISTLESS: frozenset[Kind] = frozenset({"azure", "perplexity", "voyage", "jina"})
#: Kinds whose lists do not name what targets name: deployments, or models with a suffix.
_OTHER_NAMES: frozenset[Kind] = frozenset({"azure", "openrouter"})
_VERSION_TWICE = re.compile(r"(/v[0-9]+[a-z]*)\1$")
_UNREACHED = "check base_url, and that the upstream runs"
_DATE = re.compile(r"-[0-9]{4}-?[0-9]{2}-?[0-9]{2}|-latest|:latest")


class Verdict(NamedTuple):
    """What was found, and how to mend it."""

    state: Literal["ok", "warn", "fail"]
    message: str
    hint: str = ""


async def judge(name: str, upstream: Upstream, wanted: Mapping[str, Sequence[str]]) -> list[Verdict]:
    """Ask an upstream for its models. `wanted` are those that targets name, with the aliases that want them."""
    answer = await get_models(name, upstream)
    if answer.error is not None:
        return [_broken(upstream, answer.error)]
    if not answer.status:
        what = f"takes connections, but did not answer {_asked(upstream)} in {probe.ANSWER_SECONDS:g} s"
        return [Verdict("fail", what, "check that it serves HTTP there, and that it is not overloaded")]
    if _refuses(answer):
        return [_refusal(upstream, answer)]
    models = _models(answer)
    if _is_there(answer):
        verdict = Verdict("ok", f"{urlsplit(upstream.base_url).netloc} answers {_asked(upstream)}")
        return [verdict, *_missing(upstream, models, wanted)]
    return [await _not_there(name, upstream, answer)]


def _asked(upstream: Upstream) -> str:
    return f"GET {models_url(upstream.base_url)}"


def _is_there(answer: Answer) -> bool:
    """Whether this is an API's answer; a web page with status 200 is none."""
    return 200 <= answer.status < 300 and answer.body.lstrip()[:1] != b"<"


def _refuses(answer: Answer) -> bool:
    # Some say 400 to a key that is wrong.
    return answer.status in (401, 403) or (answer.status == 400 and b"api key" in answer.body[:4096].lower())


def _refusal(upstream: Upstream, answer: Answer) -> Verdict:
    what = f"refuses the credential (status {answer.status})"
    if answer.status == 403 and b"scope" in answer.body[:4096].lower():
        return Verdict("warn", f"{what} for its list of models", "a key with few rights may still serve requests")
    if not upstream.api_key and not any(name.lower() == "authorization" for name in upstream.headers):
        return Verdict("fail", f"{what}: there is none", f'api_key = "${{{upstream.kind.upper()}_API_KEY}}"')
    return Verdict(
        "fail",
        what,
        f"the key that api_key names is wrong, expired, or of another account; or the upstream is no "
        f'"{upstream.kind}", which sends it as {PRESETS[upstream.kind].auth_header}',
    )


async def _not_there(name: str, upstream: Upstream, answer: Answer) -> Verdict:
    """An answer that is none of an API: look where it might be, for the mend."""
    status = answer.status
    if 300 <= status < 400:
        to = answer.header(b"location")[:200]
        where = f" to {to}" if to.isprintable() and to else ""
        return Verdict("fail", f"sends {_asked(upstream)} elsewhere{where} (status {status})", "put that into base_url")
    if status == 429:
        return Verdict(
            "warn", "asks to wait, or has no credit for this account (status 429)", "look at its own console"
        )
    if status >= 500:
        return Verdict("fail", f"has a fault of its own (status {status})", "look at its log, or its status page")
    what = f"answers {_asked(upstream)} with {'a web page' if status < 300 else f'status {status}'}"
    better = await _elsewhere(name, upstream)
    if better is not None:
        return Verdict("fail", what, f'base_url = "{better}": there it answers')
    for message, mend in base_url_warnings(upstream):
        return Verdict("fail", f"{what}; base_url {message}", mend)
    if status == 404 and upstream.kind in _LISTLESS:
        return Verdict("ok", f"{what}; it has no list of models")
    return Verdict("fail" if status < 300 else "warn", what, "check base_url; some providers have no list of models")


async def _elsewhere(name: str, upstream: Upstream) -> str | None:
    """Another base URL on the same host that answers as an API does."""
    url = upstream.base_url.rstrip("/")
    parts = urlsplit(url)
    version = "/v1beta" if upstream.kind == "gemini" else "/v1"
    candidates = (
        without_endpoint(url),
        with_version(upstream),
        _VERSION_TWICE.sub(r"\1", url),
        f"{url}{version}",
        parts._replace(path=version).geturl(),
    )
    others = [other for other in dict.fromkeys(candidates) if other is not None and other != url]
    replaced = [msgspec.structs.replace(upstream, base_url=other) for other in others]
    answers = await asyncio.gather(*(get_models(name, other) for other in replaced))
    found = (other for other, answer in zip(others, answers, strict=True) if _is_there(answer) or _refuses(answer))
    return next(found, None)


def _broken(upstream: Upstream, error: GatewayError) -> Verdict:
    """What it means that there is no answer at all."""
    detail = error.detail if isinstance(error, UpstreamFailed) else error.message
    parts = urlsplit(upstream.base_url)
    if detail.startswith("SSLCertVerificationError"):
        why = detail.rpartition("certificate verify failed: ")[2].partition(" (_ssl")[0]
        known = "hostname" not in why.lower() and "expired" not in why
        mend = "name the file of its authority in ca_file" if known else "use the name and the time of its certificate"
        return Verdict("fail", f"{parts.netloc} has a certificate that is not trusted: {why}", mend)
    if detail.startswith("SSL"):
        return Verdict("fail", f"{parts.netloc} does not speak TLS as it should: {detail}", "is it http:// there?")
    if isinstance(error, UpstreamTimeout):
        return Verdict(
            "fail", f"{parts.netloc} took no connection in time", "check base_url, the firewall and the route"
        )
    if isinstance(error, UpstreamProtocolError | UpstreamDropped):
        secure = "" if parts.scheme == "https" else "; is it https:// there?"
        return Verdict("fail", f"{parts.netloc} does not answer in HTTP: {detail}", f"check base_url{secure}")
    mend = "check proxy, its credential, and what it lets through" if upstream.proxy else _UNREACHED
    return Verdict("fail", f"{parts.netloc} cannot be asked: {detail}", mend)


def _models(answer: Answer) -> frozenset[str] | None:
    """The names that a list of models has, of whatever format; None where it is no whole list."""
    try:
        document: Any = msgspec.json.decode(answer.body)
    except msgspec.DecodeError:
        return None
    items = document
    if isinstance(document, dict):
        if document.get("has_more") or document.get("nextPageToken"):
            return None
        items = document.get("data", document.get("models"))
    if not isinstance(items, list):
        return None
    names = {item.get(key) for item in items if isinstance(item, dict) for key in ("id", "name", "model")}
    return frozenset(name.removeprefix("models/") for name in names if isinstance(name, str))


def _missing(
    upstream: Upstream, models: frozenset[str] | None, wanted: Mapping[str, Sequence[str]]
) -> Iterator[Verdict]:
    """Models of targets that the upstream does not list."""
    if not models or upstream.kind in _OTHER_NAMES:
        return
    undated = {_DATE.sub("", model) for model in models}
    for model, aliases in wanted.items():
        if model not in models and _DATE.sub("", model) not in undated:
            what = f'lists no model "{model}", which {", ".join(aliases)} asks for'
            yield Verdict("warn", what, did_you_mean(model, models))
