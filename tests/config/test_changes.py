"""What a new configuration changes, and what of it waits for a restart."""

from decimal import Decimal

import msgspec

from proxy.config.changes import NEEDS_RESTART, Changes, applicable, changes
from proxy.config.tree import Admin, Config, Model, Price, Server, Upstream

BEFORE = Config(
    upstreams={"kept": Upstream(base_url="https://a.test/v1"), "gone": Upstream(base_url="https://b.test/v1")},
    models={"one": Model(capability="chat", targets=["kept/m"]), "two": Model(capability="chat", targets=["gone/m"])},
)


def test_the_same_configuration_changes_nothing() -> None:
    assert changes(BEFORE, BEFORE) == Changes()
    assert str(Changes()) == "nothing has changed"


def test_what_is_new_gone_and_different_is_named() -> None:
    after = Config(
        server=Server(log_format="json", keep_alive_timeout=5),
        upstreams={"kept": Upstream(base_url="https://a.test/v1"), "new": Upstream(base_url="https://c.test/v1")},
        models={"one": Model(capability="chat", targets=["kept/m"], price=Price(input=Decimal(1)))},
    )
    found = changes(BEFORE, after)
    assert found.added == ("upstreams.new",)
    assert found.removed == ("upstreams.gone", "models.two")
    assert found.changed == ("server.keep_alive_timeout", "server.log_format", "models.one")
    assert str(found) == (
        "added upstreams.new; removed upstreams.gone, models.two; "
        "changed server.keep_alive_timeout, server.log_format, models.one"
    )


def test_a_new_credential_is_a_change_and_is_not_told() -> None:
    rotated = Upstream(base_url="https://a.test/v1", api_key="sk-new")
    found = changes(BEFORE, Config(upstreams={**BEFORE.upstreams, "kept": rotated}, models=BEFORE.models))
    assert found.changed == ("upstreams.kept",)
    assert "sk-new" not in str(found)


def test_what_sockets_and_files_were_made_by_stays_until_a_restart() -> None:
    other = Server(host="0.0.0.0", port=1, workers=9, data_dir="x", durability="power", journal_max_bytes=2**30)
    wanted = Config(server=msgspec.structs.replace(other, key_prefix="k_", max_body_bytes=5))
    found = changes(BEFORE, wanted)
    assert found.needs_restart == tuple(f"server.{name}" for name in NEEDS_RESTART)
    assert found.changed == ("server.max_body_bytes",)
    assert applicable(BEFORE, wanted).server == Server(max_body_bytes=5)


def test_the_admin_apis_address_waits_for_a_restart_and_the_rest_of_it_does_not() -> None:
    wanted = Config(
        upstreams=BEFORE.upstreams, models=BEFORE.models, admin=Admin(listen="127.0.0.1:1", token="x", enabled=False)
    )
    found = changes(BEFORE, wanted)
    assert found.needs_restart == ("admin.listen",)
    assert found.changed == ("admin.enabled", "admin.token")
    assert applicable(BEFORE, wanted).admin == Admin(token="x", enabled=False)
