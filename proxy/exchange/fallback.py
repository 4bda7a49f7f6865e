"""Fallbacks: the targets of another alias that can serve a request which its own could not. It makes no attempt.

Such an alias takes the request as it is: at the same endpoint, in the same format. Whether the key may use it is for
`Services.may_serve`.
"""

from collections.abc import Iterator

from proxy.exchange.context import RequestContext
from proxy.routing.models import Alias
from proxy.upstream.target import Target


def fallback_targets(context: RequestContext, alias: Alias) -> tuple[Target, ...]:
    """The targets of an alias that can serve a request in place of its own, in the order to try them in; none where
    it cannot."""
    if alias.capability not in context.spec.capabilities or context.upload is not None or context.references:
        return ()
    targets = alias.speaking(context.dialect.name, context.endpoint)
    if alias.routing is not None and targets:
        return alias.routing.order(targets, session=session_of(context, alias))
    return targets


def fallbacks_of(context: RequestContext, alias: Alias, cause: str) -> Iterator[str]:
    """The names of the aliases that stand in for one, for this cause, and that are configured still."""
    if alias.routing is not None:
        for name in alias.routing.fallbacks.get(cause, ()):
            if name in context.aliases and name != alias.name:
                yield name


def session_of(context: RequestContext, alias: Alias) -> int:
    """The session of a request at an alias, as its `Affinity` has it; 0 for none."""
    routing = alias.routing
    if routing is None or routing.affinity is None:
        return 0
    prism = context.prism
    named = prism.session.id or prism.client_session
    return routing.affinity.of(context.key.id, alias.name, named, context.body.fields)
