"""The docs page at `/`, the page of errors, and their twins for agents.

With a key in the request, or a session of its owner, they have what that key may use and what is left of it; without
one, all aliases. Nothing that a key sees is stored by a cache.
"""

import time
from types import MappingProxyType
from typing import Final

from starlette.responses import PlainTextResponse, Response

from proxy.auth.credentials import credential_digests, has_secret, lookup_key
from proxy.auth.keys import Key
from proxy.endpoints.table import endpoint_of
from proxy.errors import UnknownKey
from proxy.pages.documentation import content
from proxy.pages.documentation.agent_spec import agent_spec
from proxy.pages.documentation.blocks import markdown, pieces
from proxy.pages.documentation.facts import AliasFacts, Facts, KeyFacts, facts_of
from proxy.pages.request import Page, PageRequest
from proxy.pages.services import PageServices
from proxy.policies.access import may_use

_MARKDOWN: Final = "text/markdown; charset=utf-8"
#: What a response depends on.
_VARY: Final = "Accept, Authorization, X-Api-Key, Api-Key, X-Goog-Api-Key, Cookie"
#: Seconds for which what everyone may see can be kept.
_PUBLIC: Final = "public, max-age=60"
_USUAL: Final = MappingProxyType(endpoint_of())
_PRIVATE: Final = "private, no-store"
#: Images that were made, or chosen, are shown from memory.
_SOURCES: Final = {"img-src": "'self' blob:"}


async def home(services: PageServices, request: PageRequest) -> Response:
    """The docs page of this gateway: HTML for a browser, and a few lines of text for everything else."""
    facts = await _facts(services, request)
    if not request.wants_html:
        return _kept(PlainTextResponse(content.short_text(facts)), facts)
    page = services.templates.page(
        "documentation.html",
        title=content.TITLE,
        lead=content.LEAD,
        sections=list(content.home_sections(facts)),
        facts=facts,
        playable=[alias for alias in facts.aliases if playground_path(alias) in alias.paths],
        twin="/index.md",
        pieces=pieces,
    )
    return _kept(page, facts)


async def home_twin(services: PageServices, request: PageRequest) -> Response:
    """The docs page as Markdown."""
    facts = await _facts(services, request)
    return _text(markdown(content.TITLE, content.LEAD, content.home_sections(facts)), facts)


async def errors(services: PageServices, request: PageRequest) -> Response:
    """The page of errors; Markdown for everything but a browser."""
    if not request.wants_html:
        return await errors_twin(services, request)
    facts = await _facts(services, request)
    page = services.templates.page(
        "documentation.html",
        title=content.ERRORS_TITLE,
        lead=content.ERRORS_LEAD,
        sections=list(content.error_sections(facts)),
        facts=facts,
        playable=[],
        twin="/errors.md",
        pieces=pieces,
    )
    return _kept(page, facts)


async def errors_twin(services: PageServices, request: PageRequest) -> Response:
    """The page of errors as Markdown."""
    facts = await _facts(services, request)
    return _text(markdown(content.ERRORS_TITLE, content.ERRORS_LEAD, content.error_sections(facts)), facts)


async def spec(services: PageServices, request: PageRequest) -> Response:
    """The compact contract for agents."""
    facts = await _facts(services, request)
    return _text(agent_spec(facts), facts)


async def llms(services: PageServices, request: PageRequest) -> Response:
    """What there is for agents, in the form of llmstxt.org."""
    facts = await _facts(services, request)
    return _kept(PlainTextResponse(content.llms_txt(facts)), facts)


async def _facts(services: PageServices, request: PageRequest) -> Facts:
    """The facts for who asks. Raises `AuthenticationFailed` for a key that is not valid, and `StoreFailed`."""
    state = services.admin.state
    key = await _key(services, request)
    names = [name for name in state.aliases if key is None or may_use(key, name)]
    known = None
    if key is not None:
        limits = services.standing.limits(key, names)
        budgets = await services.standing.budgets(key, names)
        known = KeyFacts(key.name, key.expires, key.models is None, tuple(limits), tuple(budgets))
    return facts_of(state.config, state.aliases, names, request.origin, known)


async def _key(services: PageServices, request: PageRequest) -> Key | None:
    """The key that the request shows, else that of the session; None for neither, and for an admin."""
    keys, now = services.admin.keys, time.time()
    if has_secret(request.headers) and not services.admin.knows(request.headers):
        digests = credential_digests(request.headers)
        try:
            return lookup_key(keys, digests, now)
        except UnknownKey:
            if not keys.may_catch_up:
                raise
        await keys.catch_up()
        return lookup_key(keys, digests, now)
    viewer = request.viewer
    return keys.by_id(viewer.key, now) if viewer is not None and viewer.key is not None else None


def playground_path(alias: AliasFacts) -> str:
    """The path at which the page tries an alias."""
    return _USUAL[alias.capability]


def _text(text: str, facts: Facts) -> Response:
    return _kept(Response(text, media_type=_MARKDOWN), facts)


def _kept(response: Response, facts: Facts) -> Response:
    response.headers["vary"] = _VARY
    response.headers["cache-control"] = _PUBLIC if facts.key is None else _PRIVATE
    return response


ROWS: Final = (
    Page("GET", "/", home, "The docs page; a few lines of text for a terminal.", "docs", sources=_SOURCES),
    Page("GET", "/index.md", home_twin, "The docs page as Markdown.", "docs"),
    Page("GET", "/agent-spec.md", spec, "The compact contract for agents.", "docs"),
    Page("GET", "/llms.txt", llms, "What there is for agents, in the form of llmstxt.org.", "docs"),
    Page("GET", "/errors", errors, "All codes of errors.", "docs"),
    Page("GET", "/errors.md", errors_twin, "All codes of errors as Markdown.", "docs"),
)
