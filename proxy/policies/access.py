"""AccessPolicy: the alias exists, the key may use it, and it can do what the endpoint is for."""

import difflib
from collections.abc import Container, Iterable
from typing import ClassVar, Final

from proxy.auth.keys import Key
from proxy.auth.rights import may_use as may_use
from proxy.errors import InvalidRequest, ModelNotFound
from proxy.exchange.context import RequestContext
from proxy.exchange.interfaces import Origin
from proxy.policies.base import Policy
from proxy.routing.models import Alias

#: The families of formats as people know them.
_FORMATS: Final = {"openai": "OpenAI's", "anthropic": "Anthropic's", "gemini": "Gemini's"}
#: Characters of a name that an error repeats; a longer one is compared with no alias.
MAX_COMPARED: Final = 100


class AccessPolicy(Policy):
    """Finds the alias of a request. One that the key may not use looks exactly like one that does not exist.

    Fields by which a client would choose the id of what is made are taken out of the body.
    """

    checks_resources: ClassVar[bool] = False

    def admit(self, context: RequestContext) -> Origin | None:
        alias = context.aliases.get(context.body.model)
        if alias is None or not may_use(context.key, alias.name):
            raise not_found(context.body.model, visible(context), context.dialect.unknown_model_status)
        if alias.capability not in context.spec.capabilities:
            belongs = self.state.paths.by_capability.get(alias.capability)
            where = f" Use it with {belongs}." if belongs else ""
            raise InvalidRequest(
                f"The model `{alias.name}` is for {alias.capability} and cannot be used with {context.endpoint}."
                f"{where}",
                param="model",
                code="model_not_supported",
            )
        context.alias = alias
        context.targets = alias.speaking(context.dialect.name, context.endpoint)
        if not context.targets:
            raise InvalidRequest(
                f"The model `{alias.name}` cannot be used with {context.endpoint}: none of its providers speaks "
                f"{_FORMATS[context.dialect.name]} format, nor is it translated. {self._instead(alias)}",
                param="model",
                code="model_not_supported",
            )
        if not alias.client_ids.isdisjoint(context.body.fields):
            for name in alias.client_ids:
                context.body.fields.pop(name, None)
        return None

    def _instead(self, alias: Alias) -> str:
        """What can be done about an alias whose providers do not speak the format that it was called in."""
        paths = [
            self.state.paths.by_format.get((name, alias.capability)) for name in _FORMATS if name in alias.by_dialect
        ]
        usable = [path.replace("{model}", alias.name) for path in paths if path is not None]
        use = f"Use it with {' or '.join(usable)}, or have" if usable else "Have"
        return f"{use} the gateway's operator add a target that speaks it."


def visible(context: RequestContext) -> list[str]:
    """The aliases that a request may use, in the order of the configuration."""
    return [name for name in context.aliases if may_use(context.key, name)]


def is_usable(aliases: Container[str], key: Key, name: str) -> bool:
    """Whether a name is that of an alias, and a key has the right to it."""
    return name in aliases and may_use(key, name)


def not_found(name: str, visible: Iterable[str], status: int = 404) -> ModelNotFound:
    """The refusal of a name, with the nearest alias the key may use, if one is near."""
    quoted = name if len(name) <= MAX_COMPARED else name[:MAX_COMPARED] + "…"
    near = difflib.get_close_matches(name, list(visible), n=1, cutoff=0.5) if len(name) <= MAX_COMPARED else []
    hint = f" Did you mean `{near[0]}`?" if near else ""
    message = f"The model `{quoted}` does not exist or you do not have access to it.{hint}"
    return ModelNotFound(message, status=status, param="model")
