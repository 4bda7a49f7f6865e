"""What tests compare of usage. Not a test itself."""

import msgspec

from proxy.wire.schemas import Usage


def counts_of(usage: Usage | None) -> Usage | None:
    """The counts alone: not whether each was given, and not what is billed apart."""
    return None if usage is None else msgspec.structs.replace(usage, input_known=True, output_known=True, parts=None)
