"""Resource endpoints as ASGI applications: admission, the row of a request's method, and the end of each request.

All else of a request is the handler's.
"""

import asyncio
import logging
import time
from collections.abc import Iterable
from urllib.parse import unquote

from starlette.types import Receive, Scope, Send

from proxy.auth.credentials import credential_digests
from proxy.dialects.openai_chat import CHAT
from proxy.errors import GatewayError, GatewayStopped, InternalFault
from proxy.exchange.context import EndpointSpec, RequestContext
from proxy.exchange.response_head import write_error
from proxy.policies.admission import Admission
from proxy.resources.handler import ResourceHandler
from proxy.resources.request import ResourceRequest
from proxy.resources.spec import ResourceRow
from proxy.server.cycle import EXTENSION, RequestCycle
from proxy.server.ids import new_request_id
from proxy.wire.prism_headers import read_prism_headers

_log = logging.getLogger(__name__)


class ResourceEndpoint:
    """Serves the requests to all rows of one path."""

    def __init__(self, rows: Iterable[ResourceRow], handler: ResourceHandler, admission: Admission) -> None:
        self._rows = {row.method: (row, EndpointSpec(row.path, CHAT, row.method, is_resource=True)) for row in rows}
        self._handler = handler
        self._admission = admission
        #: Of the configuration that this handler belongs to.
        self._aliases = admission.state.aliases

    @property
    def methods(self) -> list[str]:
        return list(self._rows)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        row, spec = self._rows[scope["method"]]
        client: RequestCycle = scope["extensions"][EXTENSION]
        admission, overload = self._admission, self._admission.state.overload
        prism = read_prism_headers(scope["headers"])
        context = RequestContext(
            spec,
            id=new_request_id(),
            started=time.time_ns() // 1000,
            arrived=client.arrived,
            patience=prism.timeout,
        )
        context.apply_prism_headers(prism)
        context.aliases = self._aliases
        request: ResourceRequest | None = None
        failure: GatewayError | None = None
        counted = False
        # The server begins a request outside any task, and moves it into one when it waits like this.
        try:
            await asyncio.sleep(0)
            digests = credential_digests(scope["headers"])
            context.key = await admission.authenticate_async(digests, context.started / 1_000_000)
            prism.check()
            await admission.admit_async(context)
            ids = {name: unquote(value) for name, value in scope["path_params"].items()}
            request = ResourceRequest(context, row, ids, client)
            overload.others += 1
            counted = True
            await self._handler.serve(request, receive)
        except GatewayError as error:
            failure = error
        except Exception as fault:  # noqa: BLE001 (the border of the application)
            _log.error("A request failed inside the gateway.", exc_info=fault)
            failure = InternalFault()
        except BaseException:
            # The server's own deadline: never an unsettled request.
            await self._end(client, context, request, GatewayStopped())
            raise
        finally:
            overload.others -= counted
        await self._end(client, context, request, failure)

    async def _end(
        self, client: RequestCycle, context: RequestContext, request: ResourceRequest | None, error: GatewayError | None
    ) -> None:
        """Settle a request, and respond with its error, if it has one, where nothing has been sent."""
        if request is None:
            assert error is not None
            write_error(client, context, self._admission.refuse(context, error))
            return
        if error is not None and await self._handler.fail(request, error):
            write_error(client, context, error)
        if request.final is not None:
            self._admission.settled(context, request.final)


def rows_by_path(rows: Iterable[ResourceRow]) -> dict[str, list[ResourceRow]]:
    """The rows of each path, in the order of the table."""
    found: dict[str, list[ResourceRow]] = {}
    for row in rows:
        found.setdefault(row.path, []).append(row)
    return found
