"""The rights of a key."""

import pytest

from proxy.auth.keys import Key
from proxy.auth.rights import may_use


@pytest.mark.parametrize(
    ("models", "may"), [(None, True), (frozenset({"core"}), True), (frozenset({"mini"}), False), (frozenset(), False)]
)
def test_a_key_may_use_its_models_or_all(models: frozenset[str] | None, may: bool) -> None:
    assert may_use(Key(id="key_1", name="one", models=models, created=0, expires=None), "core") is may
