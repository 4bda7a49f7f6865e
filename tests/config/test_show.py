"""What is shown of a configuration: everything but secrets, as valid TOML."""

import tomllib

import msgspec
import pytest

from proxy.config.show import mask, show
from proxy.config.tree import Admin, Config, Model, Otel, Price, Upstream, Webhooks

SECRET = "sk-a-rather-long-secret-9876"
CONFIG = Config(
    upstreams={
        'odd"name': Upstream(
            base_url=f"https://user:{SECRET}@h/v1",
            api_key=SECRET,
            api_keys=[SECRET, SECRET[::-1]],
            headers={"X-Key": SECRET, "short": "secret"},
            query={"key": SECRET},
            proxy=f"http://user:{SECRET}@proxy.test:3128",
        )
    },
    models={"m": Model(capability="chat", targets=["u/m"])},
)


@pytest.mark.parametrize(
    ("secret", "shown"),
    [("", ""), ("short", "****"), ("twelve-chars", "****"), ("thirteen-char", "****char")],
)
def test_a_mask_shows_at_most_the_last_four(secret: str, shown: str) -> None:
    assert mask(secret) == shown


def test_no_secret_is_shown() -> None:
    text = show(CONFIG, CONFIG)
    assert SECRET not in text
    assert SECRET[::-1] not in text
    assert "user:" not in text
    assert '"secret"' not in text


def test_what_is_shown_is_toml_of_the_same_shape() -> None:
    document = tomllib.loads(show(CONFIG, CONFIG))
    upstream = document["upstreams"]['odd"name']
    assert (upstream["base_url"], upstream["api_key"]) == ("https://h/v1", "****9876")
    assert upstream["proxy"] == "http://****@proxy.test:3128"
    assert document["models"]["m"]["targets"] == ["u/m"]


def test_every_default_is_shown() -> None:
    shown = tomllib.loads(show(Config(), Config()))["server"]
    assert shown == msgspec.to_builtins(Config().server)


def test_prices_stay_exact() -> None:
    price = msgspec.convert({"input": "1.10"}, Price)
    config = Config(models={"m": Model(capability="chat", targets=["u/m"], price=price)})
    assert 'price = { input = "1.10" }' in show(config, config)


def test_the_admin_token_is_masked() -> None:
    config = Config(admin=Admin(token="prom_admin_0123456789_0123456789_abcd"))
    assert tomllib.loads(show(config, config))["admin"]["token"] == "****abcd"
    assert "0123" not in repr(config)


def test_the_path_of_a_webhook_and_the_user_of_a_collector_are_masked() -> None:
    written = Config(
        webhooks=Webhooks(url="https://hooks.example/services/T0/PATHSECRET?k=QUERYSECRET"),
        otel=Otel(endpoint="https://user:PASSWORD@collector.example/v1/traces"),
    )
    text = show(written, written)
    assert "https://hooks.example/****" in text
    assert "https://collector.example/v1/traces" in text
    assert not [secret for secret in ("PATHSECRET", "QUERYSECRET", "PASSWORD") if secret in text]
    assert "PATHSECRET" not in repr(written.webhooks)
