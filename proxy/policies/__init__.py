"""Policies: what is asked of a call before an upstream is. One file each, and one line in the tuple below."""

from collections.abc import Mapping

from proxy.policies.access import AccessPolicy
from proxy.policies.base import Policy
from proxy.policies.references import ReferencesPolicy
from proxy.routing.models import Alias


def ordered(
    aliases: Mapping[str, Alias], endpoint_of: Mapping[str, str], by_format: Mapping[tuple[str, str], str]
) -> tuple[Policy, ...]:
    """Every policy, in the order in which they are asked."""
    return (AccessPolicy(aliases, endpoint_of, by_format), ReferencesPolicy(aliases))
