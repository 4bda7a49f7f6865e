"""The memory of the metrics: one worker writes a column, all read it, and a kill loses and doubles nothing."""

import os

from proxy.observability.metrics import Metrics
from proxy.observability.metrics_memory import (
    MAX_DEAD,
    MAX_DIRECT_CELLS,
    MAX_GAUGES_AGE_SECONDS,
    MAX_GAUGES_BYTES,
    MAX_NAMES_BYTES,
    Labels,
    MetricsMemory,
    Position,
)


def test_what_is_staged_is_read_only_when_it_is_published_and_all_at_once() -> None:
    memory = MetricsMemory()
    column, (reader,) = memory.columns[0], memory.views()
    column.adopt()
    first = column.allocate("a_total", ("x",), 1, staged=True, reserve=False)
    second = column.allocate("a_total", ("y",), 1, staged=True, reserve=False)
    assert first is not None
    assert second is not None
    column.staged[first.cell], column.staged[second.cell] = 1, 2
    reader.series()
    assert reader.values()[1] == [0, 0]
    column.publish(3, 4)
    assert reader.values()[1] == [1, 2]
    assert reader.position() == Position("", 3, 4)


def test_what_a_scrape_reads_is_not_written_meanwhile() -> None:
    column = MetricsMemory().columns[0]
    column.adopt()
    series = column.allocate("a_total", (), 1, staged=True, reserve=False)
    assert series is not None
    column.publish(1, 1)
    read = column._halves[column._header[1]]
    before = read.tobytes()
    column.staged[series.cell] = 7
    column.publish(1, 2)
    assert read.tobytes() == before
    assert column.position() == Position("", 1, 2)


def test_what_is_direct_is_read_at_once() -> None:
    memory = MetricsMemory()
    column, (reader,) = memory.columns[0], memory.views()
    column.adopt()
    series = column.allocate("a_total", (), 1, staged=False, reserve=False)
    assert series is not None
    column.direct[series.cell] += 5
    assert [one.family for one in reader.series()] == ["a_total"]
    assert reader.values()[0] == [5]


def test_the_worker_that_replaces_another_goes_on_from_its_values() -> None:
    memory = MetricsMemory()
    for _ in range(3):
        # Each with a state of its own, as a process that was forked has.
        fresh = MetricsMemory.__new__(MetricsMemory)
        fresh.__dict__.update(memory.__dict__)
        fresh.columns = memory.views()
        metrics = Metrics(fresh)
        metrics.counter("direct_total", "D.", "x").add(1, "a")
        metrics.counter("staged_total", "S.", "x", staged=True).add(1, "a")
        metrics.column.publish()
    values = {one.family.name: one.values for one in metrics.read()()}
    assert (values["direct_total"], values["staged_total"]) == ({("a",): [3]}, {("a",): [3]})


def test_workers_that_are_killed_lose_nothing_that_they_had_added() -> None:
    memory = MetricsMemory(2)
    for _ in range(3):
        pid = os.fork()
        if not pid:
            counter = Metrics(memory, 1).counter("a_total", "A.", "x")
            for _ in range(100):
                counter.add(1, "a")
            os.kill(os.getpid(), 9)
        os.waitpid(pid, 0)
    metrics = Metrics(memory, 0)
    metrics.counter("a_total", "A.", "x").add(1, "a")
    (found,) = [one.values for one in metrics.read()() if one.family.name == "a_total"]
    assert found == {("a",): [301]}


def test_a_name_that_a_kill_has_cut_is_no_series() -> None:
    memory = MetricsMemory()
    column = memory.columns[0]
    column.adopt()
    # As if the kill came between the name and the count of its bytes.
    column._names[:5] = b'["a_t'
    assert memory.views()[0].series() == []
    assert column.allocate("b_total", (), 1, staged=False, reserve=False) is not None
    assert [one.family for one in memory.views()[0].series()] == ["b_total"]


def test_cells_and_names_are_bounded_and_some_are_kept_in_reserve() -> None:
    column = MetricsMemory().columns[0]
    column.adopt()
    count = 0
    while column.allocate("a_total", (str(count),), 16, staged=False, reserve=False) is not None:
        count += 1
    assert 0.9 * MAX_DIRECT_CELLS < count * 16 < MAX_DIRECT_CELLS
    assert column.allocate("a_total", ("other",), 16, staged=False, reserve=True) is not None
    names = MetricsMemory().columns[0]
    names.adopt()
    label, count = "x" * 10_000, 0
    while names.allocate("a_total", (label, str(count)), 1, staged=False, reserve=False) is not None:
        count += 1
    assert MAX_NAMES_BYTES / 10_200 - 2 < count < MAX_NAMES_BYTES / 10_000


def test_a_journal_s_position_is_known_until_and_after_its_worker_is_replaced() -> None:
    memory = MetricsMemory(2)
    column = memory.columns[1]
    column.adopt()
    column.begin_journal("first")
    column.publish(2, 345)
    assert memory.counted_until("first") == Position("first", 2, 345)
    replacing = memory.views()[1]
    replacing.adopt()
    assert memory.counted_until("first") == Position("first", 2, 345)
    replacing.begin_journal("second")
    replacing.publish(1, 10)
    assert memory.counted_until("first") == Position("first", 2, 345)
    assert memory.counted_until("second") == Position("second", 1, 10)
    assert memory.counted_until("of another gateway") is None


def test_only_the_last_dead_journals_are_kept() -> None:
    memory = MetricsMemory()
    memory.columns[0].adopt()
    for number in range(MAX_DEAD + 3):
        memory.columns[0].begin_journal(f"owner-{number}")
    assert memory.counted_until("owner-1") is None
    assert memory.counted_until(f"owner-{MAX_DEAD}") is not None


def test_gauges_of_a_worker_are_read_until_it_has_written_none_for_long() -> None:
    memory = MetricsMemory()
    memory.columns[0].write_gauges({"a": [(("x",), 1.5)]})
    reader = memory.views()[0]
    written = reader._header[6] / 1e9
    assert reader.gauges(written + 1) == {"a": [(("x",), 1.5)]}
    assert reader.gauges(written + MAX_GAUGES_AGE_SECONDS + 1) == {}


def test_more_gauges_than_there_is_room_for_are_left_out_the_longest_first() -> None:
    memory = MetricsMemory()
    long: list[tuple[Labels, float]] = [((f"{number}" * 40,), 1.0) for number in range(MAX_GAUGES_BYTES // 40)]
    memory.columns[0].write_gauges({"short": [((), 1.0)], "long": long})
    reader = memory.views()[0]
    assert list(reader.gauges(reader._header[6] / 1e9)) == ["short"]
