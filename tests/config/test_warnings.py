"""Warnings: each suspicious setting has one with a correction, at its key; none prevents a start."""

from pathlib import Path

import pytest

from proxy.config.load import examine, examine_text
from proxy.config.problems import Problem
from proxy.config.warnings import is_private

GEMINI = "https://generativelanguage.googleapis.com/v1beta"


def warned(text: str) -> list[Problem]:
    return list(examine_text(text, Path("p.toml"), {"KEY": "sk-secret"}).warnings)


def upstream(url: str, *lines: str) -> str:
    return "\n".join(("[upstreams.u]", f'base_url = "{url}"', *lines, ""))


def model(*targets: str, capability: str = "chat") -> str:
    return f'[models.m]\ncapability = "{capability}"\ntargets = {list(targets)}\n'


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "::1", "10.1.2.3", "192.168.0.9", "172.16.0.1", "fd00::1", "169.254.1.1"]
)
def test_addresses_of_this_machine_and_of_private_networks_are_near(host: str) -> None:
    assert is_private(host)


@pytest.mark.parametrize(
    "host", ["localhost", "vllm", "gpu.local", "a.b.internal", "x.localhost", "llm.models.svc.cluster.local"]
)
def test_names_of_a_local_network_are_near(host: str) -> None:
    assert is_private(host)


@pytest.mark.parametrize("host", ["8.8.8.8", "2606:4700::1111", "api.openai.com", "local.example.com"])
def test_everything_else_is_not_near(host: str) -> None:
    assert not is_private(host)


@pytest.mark.parametrize("kind", ["openai", "anthropic", "cohere"])
def test_a_provider_without_a_credential_is_reported(kind: str) -> None:
    (warning,) = warned(f'[upstreams.u]\nkind = "{kind}"\n')
    assert (warning.key, warning.hint) == ("upstreams.u", f'api_key = "${{{kind.upper()}_API_KEY}}"')


@pytest.mark.parametrize(
    "line",
    [
        'api_key = "k"',
        'headers = { X-API-Key = "k" }',
        'headers = { Authorization = "k" }',
        'base_url = "http://mock:1/v1"',
    ],
)
def test_a_credential_may_come_another_way_or_not_be_needed(line: str) -> None:
    assert warned(f'[upstreams.u]\nkind = "anthropic"\n{line}\n') == []


@pytest.mark.parametrize("line", ['api_key = "${KEY}"', 'headers = { Authorization = "Bearer ${KEY}" }'])
def test_a_credential_in_the_clear_is_reported(line: str) -> None:
    (warning,) = warned(upstream("http://api.example.com/v1", line))
    assert (warning.line, warning.key) == (2, "upstreams.u.base_url")
    assert warning.message == "the credential goes to api.example.com in the clear"
    assert "secret" not in str(warning)


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("https://api.example.com/v1", 'api_key = "k"'),
        ("http://api.example.com/v1", ""),
        ("http://127.0.0.1:8000/v1", 'api_key = "k"'),
        ("http://vllm:8000/v1", 'api_key = "k"'),
    ],
)
def test_nothing_is_reported_where_nothing_leaks(url: str, line: str) -> None:
    assert warned(upstream(url, line)) == []


@pytest.mark.parametrize(
    ("url", "kind", "message", "hint"),
    [
        ("https://api.openai.com", "openai", "below a path that is missing", 'base_url = "https://api.openai.com/v1"'),
        ("https://api.mistral.ai/v1", "compatible", "an address of Mistral, whose habits", 'kind = "mistral"'),
        ("https://api.cohere.ai/compatibility/v1", "openai", "an address of Cohere", 'kind = "cohere"'),
        ("https://api.x.ai/v1", "azure", "an address of xAI, not of Azure OpenAI", 'kind = "xai"'),
        (GEMINI, "compatible", "speaks its own format", f'kind = "gemini", or base_url = "{GEMINI}/openai"'),
        (f"{GEMINI}/openai", "gemini", "OpenAI-compatible", f'kind = "compatible", or base_url = "{GEMINI}"'),
    ],
)
def test_a_known_address_under_a_wrong_kind_is_reported(url: str, kind: str, message: str, hint: str) -> None:
    (warning,) = warned(upstream(url, f'kind = "{kind}"', 'api_key = "k"'))
    assert message in warning.message
    assert warning.hint == hint


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://api.openai.com/v1", "compatible"),
        ("https://api.x.ai/v1", "compatible"),
        ("https://api.anthropic.com/v1", "compatible"),
        ("https://api.anthropic.com/v1", "anthropic"),
        (f"{GEMINI}/openai", "compatible"),
        (GEMINI, "gemini"),
        ("https://api.deepseek.com/v1", "deepseek"),
        ("https://r.openai.azure.com/openai/v1", "azure"),
    ],
)
def test_addresses_that_fit_their_kind_are_not_suspicious(url: str, kind: str) -> None:
    assert warned(upstream(url, f'kind = "{kind}"', 'api_key = "k"')) == []


@pytest.mark.parametrize(
    ("kind", "capability", "endpoint", "address"),
    [
        ("gemini", "chat", "/v1/chat/completions", f"{GEMINI}/openai"),
        ("gemini", "vision", "/v1/chat/completions", f"{GEMINI}/openai"),
        ("gemini", "embeddings", "/v1/embeddings", f"{GEMINI}/openai"),
    ],
)
def test_an_alias_that_openais_endpoints_cannot_use_is_reported_with_a_correction(
    kind: str, capability: str, endpoint: str, address: str
) -> None:
    (warning,) = warned(f'[upstreams.u]\nkind = "{kind}"\napi_key = "k"\n' + model("u/x", capability=capability))
    assert (warning.line, warning.key) == (6, "models.m.targets")
    assert warning.message == f"all speak only the format of {kind}: {endpoint} refuses this alias"
    assert f'base_url = "{address}"' in warning.hint


@pytest.mark.parametrize("other", ["openai", "openrouter", "groq"])
def test_one_target_that_speaks_openais_format_is_enough(other: str) -> None:
    key = 'api_key = "k"\n'
    text = f'[upstreams.a]\nkind = "anthropic"\n{key}[upstreams.o]\nkind = "{other}"\n{key}' + model("a/x", "o/x")
    assert warned(text) == []


# Anthropic's endpoints

#: Behind a model: nothing is translated for it.
OFF = 'translate = "off"\n'


def of_kinds(*kinds: str, capability: str = "chat") -> str:
    upstreams = "".join(f'[upstreams.{kind}]\nkind = "{kind}"\napi_key = "k"\n' for kind in kinds)
    return upstreams + model(*(f"{kind}/x" for kind in kinds), capability=capability)


@pytest.mark.parametrize("capability", ["chat", "vision", "realtime"])
def test_an_alias_that_anthropic_s_endpoints_cannot_use_is_reported_with_a_correction(capability: str) -> None:
    (warning,) = warned(of_kinds("openai", capability=capability) + OFF)
    assert (warning.line, warning.key) == (6, "models.m.targets")
    assert warning.message == (
        "all speak only the format of openai: /v1/messages and /v1beta/models/… refuse this alias"
    )
    assert 'kind = "anthropic"' in warning.hint


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_an_alias_whose_requests_are_translated_has_no_warning(kind: str) -> None:
    assert warned(of_kinds(kind)) == []


def test_other_formats_of_an_alias_have_no_warning() -> None:
    (warning,) = warned(of_kinds("openai", "gemini") + OFF)
    assert warning.message == "all speak only the format of gemini or openai: /v1/messages refuses this alias"


@pytest.mark.parametrize("capability", ["embeddings", "audio", "image"])
def test_what_anthropic_s_endpoints_never_take_is_not_suspicious(capability: str) -> None:
    assert warned(of_kinds("openai", capability=capability)) == []


def test_many_such_aliases_are_reported_at_once() -> None:
    others = "".join(model("openai/x").replace("models.m", f"models.n{n}") + OFF for n in range(6))
    (warning,) = warned(of_kinds("openai") + OFF + others)
    assert warning.message.endswith("this alias (and 6 more: n0, n1, n2, n3, …)")


# addresses


@pytest.mark.parametrize(
    ("url", "mend"),
    [
        ("https://api.example.com/v1/chat/completions", "https://api.example.com/v1"),
        ("https://api.example.com/v1/chat/completions/", "https://api.example.com/v1"),
        ("https://api.example.com/v1/Chat/Completions", "https://api.example.com/v1"),
        ("https://api.example.com/v1/completions", "https://api.example.com/v1"),
        ("https://api.example.com/v1/embeddings", "https://api.example.com/v1"),
        ("https://api.example.com/v1/messages", "https://api.example.com/v1"),
        ("https://api.example.com/v1/messages/count_tokens", "https://api.example.com/v1"),
        ("https://api.example.com/v1/responses", "https://api.example.com/v1"),
        ("https://api.example.com/v1/audio/transcriptions", "https://api.example.com/v1"),
        ("https://api.example.com/v1/images/generations", "https://api.example.com/v1"),
        ("https://api.example.com/v1/rerank", "https://api.example.com/v1"),
        ("https://api.example.com/v1/models", "https://api.example.com/v1"),
        ("https://api.example.com/v1beta/models/gemini-x:generateContent", "https://api.example.com/v1beta"),
        ("https://api.openai.com/v1/chat/completions", "https://api.openai.com/v1"),
        (f"{GEMINI}/openai/chat/completions", f"{GEMINI}/openai"),
        (
            "https://r.openai.azure.com/openai/deployments/{model}/chat/completions",
            "https://r.openai.azure.com/openai/deployments/{model}",
        ),
    ],
)
def test_an_address_that_ends_in_an_endpoint_is_reported(url: str, mend: str) -> None:
    (warning,) = warned(upstream(url, 'api_key = "k"'))
    assert warning.key == "upstreams.u.base_url"
    assert "the path of an endpoint" in warning.message
    assert warning.hint == f'base_url = "{mend}"'


@pytest.mark.parametrize(
    ("url", "kind", "mend"),
    [
        ("http://127.0.0.1:8000", "compatible", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/", "compatible", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000", "vllm", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:11434", "ollama", "http://127.0.0.1:11434/v1"),
        ("http://127.0.0.1:11434/api", "ollama", "http://127.0.0.1:11434/api/v1"),
        ("http://127.0.0.1:4000", "anthropic", "http://127.0.0.1:4000/v1"),
        ("http://127.0.0.1:4000", "gemini", "http://127.0.0.1:4000/v1beta"),
        ("http://127.0.0.1:4000", "openai", "http://127.0.0.1:4000/v1"),
        ("https://r.openai.azure.com", "azure", "https://r.openai.azure.com/openai/v1"),
        ("https://r.openai.azure.com/openai", "azure", "https://r.openai.azure.com/openai/v1"),
    ],
)
def test_an_address_without_a_version_is_reported(url: str, kind: str, mend: str) -> None:
    (warning,) = warned(upstream(url, f'kind = "{kind}"', 'api_key = "k"'))
    assert "no version" in warning.message
    assert warning.hint.startswith(f'base_url = "{mend}"')


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://127.0.0.1:8000/v1", "compatible"),
        ("http://127.0.0.1:8000/v1/", "compatible"),
        ("http://127.0.0.1:8000/api/paas/v4", "compatible"),
        ("http://127.0.0.1:8000/v1beta/openai", "compatible"),
        ("http://127.0.0.1:8000/inference", "compatible"),
        ("https://api.deepseek.com", "deepseek"),
        ("https://api.perplexity.ai", "perplexity"),
        ("http://mock:1", "perplexity"),
    ],
)
def test_an_address_that_needs_no_other_is_not_suspicious(url: str, kind: str) -> None:
    assert warned(upstream(url, f'kind = "{kind}"', 'api_key = "k"')) == []


def test_an_address_with_its_version_twice_is_reported() -> None:
    (warning,) = warned(upstream("http://127.0.0.1:8000/v1/v1/"))
    assert (warning.message, warning.hint) == ("has its version twice", 'base_url = "http://127.0.0.1:8000/v1"')


def test_a_deployment_s_address_needs_its_version_in_the_query() -> None:
    lines = ('kind = "azure"', 'api_key = "k"')
    url = "https://r.openai.azure.com/openai/deployments/{model}"
    (warning,) = warned(upstream(url, *lines))
    assert "api-version" in warning.hint
    assert warned(upstream(url, *lines, 'query = { api-version = "2024-10-21" }')) == []


def test_warnings_come_in_the_order_of_the_file_with_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    text = model("u/x") + OFF + upstream("https://api.anthropic.com", 'kind = "anthropic"', 'api_key = "k"')
    file.write_text(text)
    loaded = examine(file, {})
    assert [warning.line for warning in loaded.warnings] == [3, 6]
    assert loaded.config.models["m"].targets == ["u/x"]


@pytest.mark.parametrize(
    ("price", "installed", "count"),
    [('minute = "0.006"', False, 1), ('minute = "0.006"', True, 0), ('input = "1", output = "2"', False, 0)],
)
def test_a_price_by_the_minute_without_the_library_that_measures_is_reported(
    monkeypatch: pytest.MonkeyPatch, price: str, installed: bool, count: int
) -> None:
    monkeypatch.setattr("proxy.config.warnings.find_spec", lambda _: object() if installed else None)
    text = upstream("http://127.0.0.1:1/v1") + model("u/m", capability="audio") + f"price = {{ {price} }}\n"
    found = [problem for problem in warned(text) if problem.key == "models.m.price"]
    assert len(found) == count
    assert all("prometheus-gateway[audio]" in problem.hint for problem in found)


PRICED = (
    '[upstreams.u]\nkind = "{kind}"\nbase_url = "http://127.0.0.1:9/v1"\napi_key = "${{KEY}}"\n'
    '[models.m]\ncapability = "{capability}"\ntargets = ["u/m"]\nprice = {{ {price} }}\n'
)
CACHES = 'cache_write = "1", cache_write_1h = "2"'


@pytest.mark.parametrize(
    ("kind", "capability", "price", "messages"),
    [
        ("compatible", "chat", 'input = "1", output = "2"', []),
        ("compatible", "chat", 'input = "1"', ["no output"]),
        ("compatible", "chat", 'cached_input = "1"', ["no input and no output"]),
        ("compatible", "embeddings", 'input = "1"', []),
        ("compatible", "audio", 'minute = "1"', []),
        ("compatible", "audio", 'input = "1"', ["no output"]),
        ("compatible", "rerank", 'search_unit = "2"', []),
        ("compatible", "image", 'image = "1"', []),
        ("compatible", "image", 'input = "1", output = "2"', ["no image_input"]),
        ("compatible", "image", 'input = "1", output = "2", image_input = "2"', []),
        ("compatible", "speech", 'input = "1"', []),
        ("anthropic", "chat", f'input = "1", output = "2", {CACHES}', []),
        ("anthropic", "chat", 'input = "1", output = "2"', ["no cache_write:", "no cache_write_1h:"]),
    ],
)
def test_a_price_that_leaves_out_what_an_alias_is_for_is_reported(
    kind: str, capability: str, price: str, messages: list[str]
) -> None:
    text = PRICED.format(kind=kind, capability=capability, price=price)
    found = [one.message for one in warned(text) if one.key.startswith("models.m.price")]
    assert len(found) == len(messages)
    assert all(part in message for part, message in zip(messages, found, strict=True))


@pytest.mark.parametrize(("installed", "count"), [(True, 0), (False, 1)])
def test_traces_that_nothing_can_send_are_reported(
    installed: bool, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.config.warnings.distributions", lambda name: [name] if installed else [])
    found = warned('[otel]\nendpoint = "http://127.0.0.1:4318/v1/traces"\n')
    assert [problem.key for problem in found] == ["otel.endpoint"] * count
    assert all("prometheus-gateway[otel]" in problem.hint for problem in found)
