"""The base class of meters: what a dialect must add, and what it may leave as it is."""

import pytest

from proxy.wire.json_scan import TopLevelScanner
from proxy.wire.meter import UsageMeter


def test_a_meter_reads_and_scrubs_nothing_by_itself() -> None:
    meter = UsageMeter()
    for method in (meter.read, meter.scrub):
        with pytest.raises(NotImplementedError):
            method(b"{}")


def test_a_meter_need_not_look_at_what_is_scanned() -> None:
    meter = UsageMeter()
    meter.follow(TopLevelScanner(b"model", b'"a"', b"usage"))
    assert (meter.scalar_keys, meter.list_key) == ((), b"")
