"""The metrics page, for scrapes: with the admin token, or without where `admin.open_metrics` is set."""

from proxy.admin.request import AdminRequest, Result
from proxy.admin.services import AdminServices
from proxy.policies.scrape import scrape


async def page(services: AdminServices, request: AdminRequest) -> Result:
    """The metrics of all workers; where it is open the names of upstreams are not in it."""
    accept = request.header(b"accept") or ""
    body, kind = await scrape(services.state, accept, is_open=services.state.config.admin.open_metrics)
    return Result(body, media_type=kind)
