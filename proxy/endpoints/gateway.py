"""What the handlers of one gateway share. Built by the composition root; holds no request."""

from collections.abc import Mapping

import msgspec

from proxy.auth.key_index import KeyIndex
from proxy.endpoints.cors import Cors
from proxy.exchange.audio_length import AudioMeter
from proxy.exchange.services import Services
from proxy.ledger.ownership import Owners
from proxy.observability.access_log import AccessLog
from proxy.overload.monitor import Overload
from proxy.policies.base import Policy
from proxy.routing.models import Alias


class Shared(msgspec.Struct, frozen=True):
    """See the module."""

    services: Services
    keys: KeyIndex
    aliases: Mapping[str, Alias]
    policies: tuple[Policy, ...]
    owners: Owners
    access: AccessLog
    audio: AudioMeter
    overload: Overload
    cors: Cors
    max_body_bytes: int
    max_audio_bytes: int
    #: When the gateway came up, in seconds since 1970.
    created: int
