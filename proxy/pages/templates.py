"""Templates: renders the HTML of pages with Jinja2. Every value is escaped, unless it is markup by its type."""

import time
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from proxy import __version__
from proxy.clock.gil import pause
from proxy.observability.access_format import dollars
from proxy.pages.static import StaticFiles

#: Seconds of work on a page after which requests get their turn.
_TURN_SECONDS: Final = 0.0005


class Templates:
    """The templates of `proxy/pages/templates`, compiled at their first use."""

    def __init__(self, static: StaticFiles) -> None:
        self._environment = Environment(
            loader=PackageLoader("proxy.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {"static": static.url, "version": __version__}
        self._environment.filters["usd"] = dollars

    def render(self, name: str, **values: Any) -> str:
        """The text of a template; a value that it names and does not get is a fault."""
        return self._environment.get_template(name).render(**values)

    def page(self, name: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A response with a page."""
        return HTMLResponse(self.render(name, **values), status)

    async def page_in_turns(self, name: str, status: int = 200, **values: Any) -> HTMLResponse:
        """The same of a large page, which takes milliseconds: requests go on between its pieces."""
        pieces: list[str] = []
        began = time.perf_counter()
        for piece in self._environment.get_template(name).generate(**values):
            pieces.append(piece)
            if time.perf_counter() - began > _TURN_SECONDS:
                await pause()
                began = time.perf_counter()
        return HTMLResponse("".join(pieces), status)
