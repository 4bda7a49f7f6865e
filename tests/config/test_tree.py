"""The tree itself: its defaults hold to its own ranges, and its repr holds no credential."""

import msgspec

from proxy.config.tree import Config, Upstream, split_target


def test_the_defaults_are_valid() -> None:
    assert msgspec.convert(msgspec.to_builtins(Config()), Config) == Config()


def test_a_repr_holds_no_credential() -> None:
    upstream = Upstream(base_url="https://h", api_key="secret", headers={"x": "secret"})
    assert "secret" not in repr(Config(upstreams={"u": upstream}))


def test_a_target_is_split_at_its_first_slash() -> None:
    assert split_target("up/org/model") == ("up", "org/model")
