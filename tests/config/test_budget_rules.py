"""What `config check` says of budgets, webhooks and the costs of targets."""

from decimal import Decimal
from pathlib import Path

import pytest

from proxy.config.budget_rules import violations
from proxy.config.load import examine_text, parse
from proxy.config.problems import ConfigProblems
from proxy.config.show import show
from proxy.config.tree import Budget

BASE = """
[upstreams.a]
base_url = "https://a.example/v1"
api_key = "file:key"
[models.m]
capability = "chat"
targets = ["a/x"]
"""


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        parse(BASE + text, Path("f.toml"), None)
    return [f"{one.key}: {one.message}" for one in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[budgets.b]\nwindow = "day"', 'budgets.b: the key "limit" is missing'),
        (
            "[budgets.b]\nlimit = 5",
            'budgets.b.limit: must be a decimal number in quotes, such as "1.10"',
        ),
        ('[budgets.b]\nlimit = "-5"', "budgets.b.limit: is no amount of USD"),
        ('[budgets.b]\nlimit = "1.0000000001"', "budgets.b.limit: is no amount of USD"),
        ('[budgets.b]\nlimit = "5"\nwindow = "monthly"', "budgets.b.window: is no window"),
        ('[budgets.b]\nlimit = "5"\nzone = "Mars/Base"', "budgets.b.zone: is no time zone that is known here"),
        ('[budgets.b]\nlimit = "5"\nwarn = [1,2,3,4,5,6,7,8,9]', "budgets.b.warn: has more than 8 percentages"),
        ('[webhooks]\nurl = "ftp://x"', "webhooks.url: is no address of a web server"),
        ('[webhooks]\nurl = "https://u:p@x.example"', "webhooks.url: has a user in it"),
        ('[models.m.costs."a/y"]\ninput = "1"', "models.m.costs.a/y: is no target of this alias"),
        ('[models.m.costs."a/x"]\nminute = "1"', "models.m.costs.a/x: "),
        ('[models.m.costs."a/x"]\ninput = "x"', "models.m.costs.a/x.input: "),
    ],
)
def test_a_wrong_value_is_named(text: str, fault: str) -> None:
    found = faults(text)
    assert any(one.replace('"', "").startswith(fault.replace('"', "")) for one in found), found


def warned(text: str, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "key").write_text("sk-long-enough-secret")
    found = examine_text(BASE + text, tmp_path / "f.toml", {"HOOK": "whsec_aGVsbG8="}).warnings
    return {one.key: f"{one.message}; {one.hint}" for one in found}


def test_unpriced_models_under_a_budget_are_named(tmp_path: Path) -> None:
    text = '[budgets.b]\nlimit = "5"\n[budgets.c]\nlimit = "5"\nunpriced = "allow"\n'
    assert warned(text, tmp_path)["budgets.b"] == (
        'refuses requests for "m": without a price their cost is not known; '
        'give each a price, or set unpriced = "allow", which counts them as nothing'
    )
    assert "budgets.c" not in warned(text, tmp_path)


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "budgets.b.models" in warned('[budgets.b]\nlimit = "5"\nmodels = ["x"]', tmp_path)


def test_webhooks_are_to_be_encrypted_and_signed(tmp_path: Path) -> None:
    assert {"webhooks", "webhooks.url"} <= warned('[webhooks]\nurl = "http://x.example/"', tmp_path).keys()
    safe = '[webhooks]\nurl = "https://x.example/"\nsecret = "${HOOK}"'
    assert not {"webhooks", "webhooks.url"} & warned(safe, tmp_path).keys()


@pytest.mark.parametrize("host", ["localhost:9", "127.0.0.1", "10.1.2.3", "[::1]:9", "169.254.169.254"])
def test_a_private_address_is_named_unless_it_is_allowed(host: str, tmp_path: Path) -> None:
    text = f'[webhooks]\nurl = "http://{host}/hook"\nsecret = "${{HOOK}}"\n'
    assert warned(text, tmp_path)["webhooks.url"] == (
        "is in a private network, where nothing is posted to; allow_private = true"
    )
    assert "webhooks.url" not in warned(text + "allow_private = true", tmp_path)


def test_a_secret_is_resolved_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-long-enough-secret")
    text = BASE + '[budgets.b]\nlimit = "5.50"\n[webhooks]\nurl = "https://x.example/"\nsecret = "${HOOK}"'
    environment = {"HOOK": "whsec_c2VjcmV0LXNlY3JldA=="}
    config = parse(text, tmp_path / "f.toml", environment)
    assert config.webhooks is not None
    assert config.webhooks.secret == environment["HOOK"]
    assert "c2VjcmV0" not in show(config, config) + repr(config.webhooks)
    assert '[budgets.b]\nlimit = "5.50"\nwindow = "month"' in show(config, config)


def test_a_budget_from_elsewhere_is_checked_by_the_same_rules() -> None:
    assert violations(Budget(limit=Decimal("5"))) == []
    assert [one.partition(" ")[0] for one in violations(Budget(limit=Decimal("-1"), window="x", zone="y"))] == [
        "limit",
        "window",
        "zone",
    ]
