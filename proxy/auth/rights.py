"""The rights of a key: which aliases it may use. Pure."""

from proxy.auth.keys import Key


def may_use(key: Key, alias: str) -> bool:
    """Whether a key has the right to an alias."""
    return key.models is None or alias in key.models
