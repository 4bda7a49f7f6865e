"""The compact contract for agents, `/agent-spec.md`: base URL, key, endpoints, models, pricing, rules. Text only.

Its sections have the form that agents know from the hosted API. What is essential stands in the first 4,000 characters:
what a key has of its own, and the further endpoints, come last.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from proxy.limits.calendar import zone_of
from proxy.observability.access_format import dollars
from proxy.pages.documentation.blocks import one_line
from proxy.pages.documentation.facts import AliasFacts, Facts, KeyFacts
from proxy.policies.standing import BudgetStanding, LimitStanding

_TITLE: Final = "# Prometheus Agent Spec"
_MICROSECONDS: Final = 1_000_000
#: How each unit is charged, by the capabilities that it is for.
_CHAT: Final = ("chat", "vision", "realtime")


def agent_spec(facts: Facts) -> str:
    """The contract as a text."""
    lines = [_TITLE, f"baseURL: {facts.base_url}", f"auth: Authorization: Bearer {facts.key_prefix}...", "endpoints:"]
    lines += ["GET /v1/models", *(f"{one.method} {one.path}" for one in facts.endpoints if one.is_usual)]
    lines += ["models:", *(_model(alias) for alias in facts.aliases)]
    lines += ["pricing:", *(f"- {line}" for line in pricing(facts))]
    lines += ["rules:", *(f"- {line}" for line in rules(facts))]
    further = [f"{one.method} {one.path}" for one in facts.endpoints if not one.is_usual]
    if further:
        lines += ["more endpoints:", *further]
    if facts.key is not None:
        lines += ["key:", *(f"- {line}" for line in key_lines(facts.key))]
    return "\n".join(lines) + "\n"


def _model(alias: AliasFacts) -> str:
    return f"{alias.name}: {alias.kind}; {one_line(alias.summary)}; {alias.price}"


def pricing(facts: Facts) -> Iterator[str]:
    """How requests are charged, by the prices that there are."""
    yield "USD, billed per actual usage; no minimum."
    chats = [alias for alias in facts.of(*_CHAT) if _charges(alias, "input", "output")]
    visions = [alias for alias in chats if alias.capability == "vision"]
    if chats:
        yield f"Chat{' and vision charge' if visions else ' charges'} per input + output token."
    if visions and not any(_charges(alias, "image input") for alias in visions):
        yield "Vision images count as input tokens; no separate per-image fee."
    parts = []
    if any(_charges(alias, "input") for alias in facts.of("embeddings")):
        parts.append("embeddings charge per input token")
    if any(_charges(alias, "audio") for alias in facts.of("audio")):
        parts.append("audio charges per minute of source")
    if any(_charges(alias, "images") for alias in facts.of("image")):
        parts.append("images charge per image")
    if parts:
        text = "; ".join(parts)
        yield f"{text[0].upper()}{text[1:]}."
    if any(not alias.is_priced for alias in facts.aliases):
        yield "Models with no price set are not charged by a known price: ask the operator."


def _charges(alias: AliasFacts, *what: str) -> bool:
    return any(charge.what in what for charge in alias.charges)


def rules(facts: Facts) -> Iterator[str]:
    """What an agent must know before its first request."""
    yield "Use Prometheus aliases only; never send provider or upstream model ids."
    yield "OpenAI SDK clients must set baseURL to the /v1 URL above."
    yield f"Send Authorization as a Bearer token with a {facts.key_prefix} key."
    if facts.default_chat is not None:
        yield (
            "Chat supports stream: true and returns OpenAI-style SSE chunks. "
            "Prefer stream: true for the lowest time-to-first-token."
        )
    if facts.of("vision"):
        yield "Vision uses standard chat messages with image_url content parts."
    if facts.default_chat is not None:
        yield "Extra chat fields such as tools, response_format, top_p, and stream_options are forwarded."
    yield "Gateway errors use { error: { message, type, param, code } }."
    yield "On 429 wait for retry-after, unless x-should-retry is false; retry 5xx with backoff."
    yield ("Prometheus exposes public aliases only. Clients should never send provider names or upstream model ids.")
    if facts.key is None:
        yield "Send the key with this request, and the spec has what the key may use, its limits, and what is left."


def key_lines(key: KeyFacts) -> Iterator[str]:
    """What a key may use, and what is left of it now."""
    ends = "no end" if key.expires is None else f"ends {datetime.fromtimestamp(key.expires, UTC):%Y-%m-%d %H:%M} UTC"
    scope = "every model" if key.has_all else "the models above and no others"
    yield f"name: {one_line(key.name)}; may use {scope}; {ends}"
    for limit in key.limits:
        yield limit_words(limit)
    for budget in key.budgets:
        yield budget_words(budget)
    if not key.limits:
        yield "no rate limits"
    if not key.budgets:
        yield "no budgets"


def limit_words(limit: LimitStanding) -> str:
    """A limit, and what is left of it."""
    at_once = f" ({limit.burst} at once)" if limit.burst != limit.amount else ""
    text = f"{limit.amount} {limit.words}{at_once}"
    if limit.left is None:
        return f"{text}; shared with other keys"
    back = "" if not limit.reset else f"; all of it is back in {max(round(limit.reset, 1), 0.1):g} s"
    return f"{text}; {limit.left} left now{back}"


def budget_words(budget: BudgetStanding) -> str:
    """A budget, and what is left of it."""
    per = "" if budget.window in ("credits", "total") else f" per {budget.window}"
    models = f" for {', '.join(budget.models)}" if budget.models else ""
    if budget.left is None:
        text = f"{budget.label}: ${dollars(budget.limit)}{per}{models}; shared with other keys"
    else:
        text = f"{budget.label}: ${dollars(budget.left)} left of ${dollars(max(budget.limit, 0))}{per}{models}"
    if budget.reset is not None:
        local = datetime.fromtimestamp(budget.reset // _MICROSECONDS, zone_of(budget.zone))
        verb = "changes" if budget.window == "credits" else "resets"
        text += f"; {verb} {local:%Y-%m-%d %H:%M} {budget.zone}"
    return text
