"""AccessPolicy: who may use which alias, and what the others are told."""

from collections.abc import Iterable

import pytest

from proxy.auth.keys import Key
from proxy.dialects.openai_chat import CHAT
from proxy.errors import InvalidRequest, ModelNotFound
from proxy.exchange.context import EndpointSpec, RequestContext
from proxy.policies import POLICIES
from proxy.policies.access import AccessPolicy, may_use, not_found, visible
from proxy.policies.base import EndpointPaths
from proxy.routing.models import Alias
from proxy.wire.request_body import parse_body
from tests.serving import idle_state

BY_FORMAT = {("openai", "chat"): "/v1/chat/completions", ("gemini", "chat"): "/v1beta/models/{model}:generateContent"}
ENDPOINTS = {"chat": "/v1/chat/completions", "embeddings": "/v1/embeddings"}


def alias(name: str, capability: str = "chat") -> Alias:
    return Alias(name=name, capability=capability, targets=(), price=None, on_disconnect="cancel")


def key(models: Iterable[str] | None = None) -> Key:
    rights = None if models is None else frozenset(models)
    return Key(id="key_1", name="one", models=rights, created=0, expires=None)


def call(model: str, caller: Key) -> RequestContext:
    return RequestContext(
        EndpointSpec("/v1/chat/completions", CHAT, capabilities=frozenset({"chat", "vision"})),
        id="req_1",
        trace_id="req_1",
        key=caller,
        path=b"/chat/completions",
        body=parse_body(b'{"model":"%b"}' % model.encode()),
        forwarded=b"",
        started=0,
        arrived=0.0,
    )


class Gate:
    """The policy of a gateway that has these aliases and nothing else."""

    def __init__(self, *aliases: Alias) -> None:
        state = idle_state()
        state.paths = EndpointPaths(ENDPOINTS, BY_FORMAT)
        self._policy = AccessPolicy(state)
        self._aliases = {one.name: one for one in aliases}

    def admit(self, context: RequestContext) -> None:
        context.aliases = self._aliases
        self._policy.admit(context)


def test_a_key_without_a_list_may_use_everything() -> None:
    assert may_use(key(), "anything")


def test_a_key_with_a_list_may_use_what_is_on_it() -> None:
    assert may_use(key(["a"]), "a")
    assert not may_use(key(["a"]), "b")
    assert not may_use(key([]), "a")


def test_a_name_is_taken_exactly() -> None:
    for name in ("Core", "core ", "cor"):
        with pytest.raises(ModelNotFound):
            Gate(alias("core")).admit(call(name, key()))


def test_an_alias_without_the_right_to_it_looks_as_if_it_were_not_there() -> None:
    one = Gate(alias("core"), alias("other"))
    with pytest.raises(ModelNotFound) as forbidden:
        one.admit(call("core", key(["other"])))
    with pytest.raises(ModelNotFound) as missing:
        Gate(alias("other")).admit(call("core", key(["other"])))
    assert forbidden.value.message == missing.value.message
    assert forbidden.value.code == missing.value.code == "model_not_found"


def test_only_what_the_key_may_use_is_suggested() -> None:
    one = Gate(alias("prometheus-core"), alias("prometheus-code"))
    with pytest.raises(ModelNotFound) as error:
        one.admit(call("prometheus-cor", key(["prometheus-code"])))
    assert "prometheus-code" in error.value.message
    assert "prometheus-core" not in error.value.message


def test_nothing_is_suggested_where_nothing_is_near() -> None:
    assert "Did you mean" not in not_found("gpt-4o", ["prometheus-core"]).message


def test_an_alias_for_something_else_is_refused_with_its_endpoint() -> None:
    with pytest.raises(InvalidRequest, match="Use it with /v1/embeddings") as error:
        Gate(alias("atlas", "embeddings")).admit(call("atlas", key()))
    assert (error.value.status, error.value.code) == (400, "model_not_supported")


def test_an_alias_for_something_that_no_endpoint_takes_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="cannot be used with /v1/chat/completions") as error:
        Gate(alias("echo", "audio")).admit(call("echo", key()))
    assert "Use it with" not in error.value.message


@pytest.mark.parametrize(
    ("spoken", "advice"),
    [
        ([], "Have the gateway's operator add a target that speaks it."),
        (["anthropic"], "Have the gateway's operator add a target that speaks it."),
        (
            ["gemini"],
            "Use it with /v1beta/models/core:generateContent, "
            "or have the gateway's operator add a target that speaks it.",
        ),
    ],
)
def test_an_alias_whose_provider_speaks_another_format_is_refused(spoken: list[str], advice: str) -> None:
    one = alias("core")
    one.by_dialect.update(dict.fromkeys(spoken, ()))
    with pytest.raises(InvalidRequest) as error:
        Gate(one).admit(call("core", key()))
    assert error.value.code == "model_not_supported"
    assert error.value.message == (
        "The model `core` cannot be used with /v1/chat/completions: none of its providers speaks OpenAI's format, nor "
        f"is it translated. {advice}"
    )


def test_the_visible_aliases_stand_in_the_order_of_the_configuration() -> None:
    context = call("b", key(["c", "b"]))
    context.aliases = {name: alias(name) for name in ("b", "a", "c")}
    assert visible(context) == ["b", "c"]


def test_rights_are_asked_first() -> None:
    assert next(policy for policy in POLICIES if not policy.before_body) is AccessPolicy
