"""The state of upstreams: over several processes, as reported, and without a word of a provider's."""

import asyncio
import os
from pathlib import Path

import msgspec
import pytest

from proxy.config.tree import Upstream
from proxy.errors import GatewayError, Overloaded, UpstreamConnectFailed, UpstreamFailed, UpstreamTimeout
from proxy.observability.providers import FOLDER, Providers, ProviderState, merged, reason_of, report_of
from proxy.upstream.pool import Pool


def test_counts_add_up_and_the_worst_state_and_the_newest_error_count() -> None:
    one = ProviderState("a", "closed", 5.0, 0, 30, 1, 0.1, "old", 1.0, 9.0)
    two = ProviderState("a", "open", 7.0, 2, 10, 5, 0.5, "new", 8.0, 3.0, 1)
    assert merged([one, two]) == ProviderState("a", "open", 7.0, 2, 40, 6, 0.2, "new", 8.0, 9.0, 1, 2)


def test_a_report_has_a_rate_and_times_only_where_there_are_any() -> None:
    quiet = report_of(ProviderState("a"))
    assert (quiet.healthy, quiet.circuit_state, quiet.success_rate, quiet.last_error) == (True, "closed", 0.0, None)
    assert (quiet.since, quiet.last_error_time, quiet.last_success_time) == (None, None, None)
    busy = report_of(ProviderState("a", "half-open", 60.0, 1, 3, 1, 0.25, "status 503", 60.0, 1.0))
    assert (busy.healthy, busy.success_rate, busy.latency_ewma_ms, busy.request_count) == (True, 0.75, 250.0, 4)
    assert busy.last_error_time == busy.since == "1970-01-01T00:01:00Z"
    assert not report_of(ProviderState("a", "open")).healthy


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UpstreamFailed("x", detail="status 503, overloaded_error, gpt-5-secret"), "status 503, overloaded_error"),
        (UpstreamFailed("x", detail="status 401, sk-123"), "status 401"),
        (UpstreamFailed("x", detail="status 400, bad_model"), ""),
        (UpstreamConnectFailed("No connection.", detail="10.0.0.1:443"), "upstream_connect_failed: No connection."),
        (Overloaded("full"), ""),
    ],
)
def test_a_reason_names_no_address_key_or_model(error: GatewayError, reason: str) -> None:
    assert reason_of(error) == reason


def test_what_the_client_did_is_no_reason() -> None:
    late = UpstreamTimeout("late")
    late.early = True
    assert reason_of(late) == ""


def test_other_processes_are_read_until_they_end(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER

    async def run() -> None:
        pool = Pool("a", Upstream(base_url="http://vendor.test"))
        pool.health.traffic.responded(0.5, 1.0)
        providers = Providers(tmp_path, lambda: {"a": pool})
        providers.sweep()
        await providers.states()
        folder.mkdir(exist_ok=True)
        other = [ProviderState("a", "open", responses=2, ejected_by=1), ProviderState("gone")]
        (folder / "1.json").write_bytes(msgspec.json.encode(other))
        (folder / "2.json").write_bytes(b"broken")
        (folder / "3.json").write_bytes(msgspec.json.encode(other))
        os.utime(folder / "3.json", (1, 1))
        fresh = Providers(tmp_path, lambda: {"a": pool})
        (state,) = await fresh.states()
        assert (state.circuit, state.responses, state.processes, state.ejected_by) == ("open", 3, 2, 1)
        assert [one.id for one in await fresh.reports(["a"])] == ["a"]
        assert await fresh.reports([]) == []
        assert not (folder / "3.json").exists()
        await providers.stop()
        await pool.close()
        assert not (folder / f"{os.getpid()}.json").exists()

    asyncio.run(run())
