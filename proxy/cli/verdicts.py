"""What an upstream's response to a GET of its models says about the configuration, and how to mend that.

No credential and nothing of a response's body but the names of models gets into a message.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec

from proxy.cli import probe
from proxy.cli.probe import ProbeResponse, get_models, models_url
from proxy.config.addresses import base_url_warnings, with_version, without_endpoint
from proxy.config.presets import PRESETS
from proxy.config.problems import did_you_mean
from proxy.config.tree import Kind, Upstream
from proxy.errors import GatewayError, UpstreamDropped, UpstreamFailed, UpstreamProtocolError, UpstreamTimeout

#: Seconds for the head of a list of models, the connection included, from which on an upstream is slow.
SLOW_SECONDS = 2.0
#: Kinds of upstreams that list no models, so that a 404 means nothing.
_WITHOUT_LIST: frozenset[Kind] = frozenset({"azure", "perplexity", "voyage", "jina"})
#: Kinds whose lists do not name what targets name: deployments, or models with a suffix.
_OTHER_NAMES: frozenset[Kind] = frozenset({"azure", "openrouter"})
_VERSION_TWICE = re.compile(r"(/v[0-9]+[a-z]*)\1$")
_UNREACHED = "check base_url, and that the upstream runs"
_DATE = re.compile(r"-[0-9]{4}-?[0-9]{2}-?[0-9]{2}|-latest|:latest")


class Verdict(NamedTuple):
    """A finding about an upstream, and how to mend it."""

    state: Literal["ok", "warn", "fail"]
    message: str
    hint: str = ""


async def check_models(name: str, upstream: Upstream, wanted: Mapping[str, Sequence[str]]) -> list[Verdict]:
    """Ask an upstream for its models. `wanted` are those that targets name, with the aliases that want them."""
    response = await get_models(name, upstream)
    if response.error is not None:
        return [_no_response(upstream, response.error)]
    if not response.status:
        what = f"takes connections, but did not answer {_request_line(upstream)} in {probe.RESPONSE_SECONDS:g} s"
        return [Verdict("fail", what, "check that it serves HTTP there, and that it is not overloaded")]
    if _refuses(response):
        return [_refusal(upstream, response)]
    models = _models(response)
    if _is_api(response):
        host, took = urlsplit(upstream.base_url).netloc, f"{response.seconds * 1_000:.0f} ms"
        verdict = Verdict("ok", f"{host} answers {_request_line(upstream)} in {took}")
        if response.seconds >= SLOW_SECONDS:
            hint = "its requests will be as slow: check the network, the proxy and the region of the upstream"
            verdict = Verdict("warn", verdict.message, hint)
        return [verdict, *_missing(upstream, models, wanted)]
    return [await _no_api(name, upstream, response)]


def _request_line(upstream: Upstream) -> str:
    return f"GET {models_url(upstream.base_url)}"


def _is_api(response: ProbeResponse) -> bool:
    """Whether an API has responded; a web page with status 200 is none."""
    return 200 <= response.status < 300 and response.body.lstrip()[:1] != b"<"


def _refuses(response: ProbeResponse) -> bool:
    # Some say 400 to a key that is wrong.
    return response.status in (401, 403) or (response.status == 400 and b"api key" in response.body[:4096].lower())


def _refusal(upstream: Upstream, response: ProbeResponse) -> Verdict:
    what = f"refuses the credential (status {response.status})"
    if response.status == 403 and b"scope" in response.body[:4096].lower():
        return Verdict("warn", f"{what} for its list of models", "a key with few rights may still serve requests")
    if not any(upstream.credentials) and not any(name.lower() == "authorization" for name in upstream.headers):
        return Verdict("fail", f"{what}: there is none", f'api_key = "${{{upstream.kind.upper()}_API_KEY}}"')
    return Verdict(
        "fail",
        what,
        f"its api_key is wrong, expired, or of another account; or the upstream is no "
        f'"{upstream.kind}", which sends it as {PRESETS[upstream.kind].auth_header}',
    )


async def _no_api(name: str, upstream: Upstream, response: ProbeResponse) -> Verdict:
    """No API has responded: look where it might be, for the hint."""
    status = response.status
    if 300 <= status < 400:
        to = response.header(b"location")[:200]
        where = f" to {to}" if to.isprintable() and to else ""
        return Verdict(
            "fail", f"sends {_request_line(upstream)} elsewhere{where} (status {status})", "put that into base_url"
        )
    if status == 429:
        return Verdict(
            "warn", "asks to wait, or has no credit for this account (status 429)", "look at its own console"
        )
    if status >= 500:
        return Verdict("fail", f"has a fault of its own (status {status})", "look at its log, or its status page")
    what = f"answers {_request_line(upstream)} with {'a web page' if status < 300 else f'status {status}'}"
    better = await _better_url(name, upstream)
    if better is not None:
        return Verdict("fail", what, f'base_url = "{better}": there it answers')
    for message, mend in base_url_warnings(upstream):
        return Verdict("fail", f"{what}; base_url {message}", mend)
    if status == 404 and upstream.kind in _WITHOUT_LIST:
        return Verdict("ok", f"{what}; it has no list of models")
    return Verdict("fail" if status < 300 else "warn", what, "check base_url; some providers have no list of models")


async def _better_url(name: str, upstream: Upstream) -> str | None:
    """Another base URL on the same host at which an API responds."""
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
    responses = await asyncio.gather(*(get_models(name, other) for other in replaced))
    found = (
        other for other, response in zip(others, responses, strict=True) if _is_api(response) or _refuses(response)
    )
    return next(found, None)


def _no_response(upstream: Upstream, error: GatewayError) -> Verdict:
    """What it means that there is no response at all."""
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


def _models(response: ProbeResponse) -> frozenset[str] | None:
    """The names that a list of models has, of whatever format; None where it is no whole list."""
    try:
        document: Any = msgspec.json.decode(response.body)
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
