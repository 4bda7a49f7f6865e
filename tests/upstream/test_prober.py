"""Active probes: what a good, a bad and no response do to the health of an upstream."""

import asyncio
from collections.abc import Sequence

from proxy.config.tree import Upstream
from proxy.upstream.pool import Pool
from proxy.upstream.prober import Prober
from tests.fakes import ScriptedUpstream, Step, json_answer


def probed(steps: Sequence[Sequence[Step]], **settings: float) -> Pool:
    """A pool after as many probes as there are scripts."""

    async def run(url: str) -> Pool:
        pool = Pool("vendor", Upstream(base_url=url, api_key="sk-secret", **settings))  # type: ignore[arg-type]
        prober = Prober(lambda: {"vendor": pool})
        for _ in steps:
            await prober.probe(pool)
        await pool.close()
        return pool

    with ScriptedUpstream() as upstream:
        for one in steps:
            upstream.script(list(one))
        return asyncio.run(run(upstream.base_url))


GOOD = json_answer({"object": "list", "data": []})


def test_a_good_response_is_counted_with_its_latency() -> None:
    traffic = probed([GOOD]).health.traffic
    assert (traffic.responses, traffic.failures, traffic.last_error) == (1, 0, "")
    assert traffic.latency > 0


def test_failures_eject_as_those_of_requests_do_and_name_no_address() -> None:
    bad = json_answer({"error": {"message": "sk-secret at http://10.0.0.1"}}, status=503)
    pool = probed([bad, bad], consecutive_gateway_failures=2)
    assert pool.health.ejected
    assert pool.health.traffic.last_error == "probe: status 503"


def test_a_good_response_ends_an_ejection_whose_time_is_over() -> None:
    bad = json_answer({}, status=500)
    assert not probed([bad, GOOD], consecutive_5xx=1, base_ejection_time=1e-6, ejection_interval=1e-6).health.ejected
    assert probed([bad, GOOD], consecutive_5xx=1).health.ejected


def test_a_refused_credential_is_shown_and_ejects_nothing() -> None:
    pool = probed([json_answer({}, status=401)], consecutive_5xx=1)
    assert not pool.health.ejected
    assert pool.health.traffic.last_error == "probe: the credential is refused (status 401)"


def test_an_upstream_that_cannot_be_reached_fails() -> None:
    async def run() -> Pool:
        pool = Pool("vendor", Upstream(base_url="http://127.0.0.1:1", consecutive_gateway_failures=1))
        await Prober(lambda: {}).probe(pool)
        await pool.close()
        return pool

    pool = asyncio.run(run())
    assert pool.health.ejected
    assert pool.health.traffic.last_error == "probe: upstream_connect_failed"


def test_only_those_with_an_interval_are_probed_and_one_at_a_time() -> None:
    async def run(url: str) -> tuple[int, int]:
        pools = {
            name: Pool(name, Upstream(base_url=url, probe_interval=interval))
            for name, interval in (("off", 0.0), ("on", 0.001))
        }
        prober = Prober(lambda: pools)
        prober.sweep()
        await asyncio.sleep(0.01)
        prober.sweep()
        prober.sweep()
        running = [task for task in asyncio.all_tasks() if task.get_name().startswith("probe-")]
        await asyncio.gather(*running)
        await prober.stop()
        counts = [pool.health.traffic.responses for pool in pools.values()]
        for pool in pools.values():
            await pool.close()
        return counts[0], counts[1]

    with ScriptedUpstream() as upstream:
        upstream.script(GOOD)
        assert asyncio.run(run(upstream.base_url)) == (0, 1)
