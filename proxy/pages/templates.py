"""Templates: renders the HTML of pages with Jinja2. Every value is escaped, unless it is markup by its type."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from proxy import __version__
from proxy.observability.access_format import dollars
from proxy.pages.static import StaticFiles


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
