"""Lines by tag: each is the sum of the keys that have the tag. Runs in the thread of a query.

Keys that have the same tags are one part. The sums of parts are read, and lines are made of them here, so a request of
a key with two tags is read once. What was read of an hour or a day is kept until something is added there.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from threading import Lock
from typing import Final

from proxy.ledger import rollups
from proxy.ledger.board_plan import Plan
from proxy.ledger.board_sums import Source, Sums, Values
from proxy.ledger.board_values import Order
from proxy.ledger.readers import Query
from proxy.ledger.selection import Selection

#: Sums of parts that are kept, about a kilobyte each; and the most parts of which any are.
MAX_KEPT: Final = 10_000
MAX_PARTS: Final = 200

# An hour or a day: grain and start.
_Place = tuple[int, int]
_Parts = dict[str, Sums]


class Tags:
    """The tags of keys, and the parts that keys are in."""

    def __init__(self, tags: Mapping[str, tuple[str, ...]]) -> None:
        """`tags` are those of each key by its id."""
        numbers: dict[tuple[str, ...], str] = {}
        #: The part of each key; the others are in the part "".
        self.part_of = {key: numbers.setdefault(found, str(len(numbers))) for key, found in tags.items() if found}
        self._tags_of = {"": ("",), **{part: found for found, part in numbers.items()}}
        self._of_keys = tags

    def lines(self, parts: Values) -> Values:
        """The sums of each period and tag; "" is that of keys without one."""
        found: Values = {}
        for (slot, part), sums in parts.items():
            for tag in self._tags_of[part]:
                found[slot, tag] = _added(found.get((slot, tag)), sums, 1)
        return found

    def having(self, parts: Values, names: Iterable[str]) -> Values:
        """The parts of the keys that have any of these tags: each once."""
        wanted = set(names)
        return {place: sums for place, sums in parts.items() if wanted.intersection(self._tags_of[place[1]])}

    def last_used(
        self, query: Query, only: Selection, names: tuple[str, ...], since: int, until: int
    ) -> dict[str, int]:
        """When each tag was last used in a time: the hour, or the second where keys alone are selected."""
        wanted = set(names)
        if only.needs_rows or {*only.columns} - {"key"}:
            parts = tuple(part for part, tags in self._tags_of.items() if wanted.intersection(tags))
            found = Source("tag", only, self.part_of).last_used(query, parts, since, until)
            tags_of: Mapping[str, tuple[str, ...]] = self._tags_of
        else:
            # The keys without a tag are not named: when they were last used is not searched for.
            keys = tuple(key for key, tags in self._of_keys.items() if wanted.intersection(tags))
            found = Source("key", only).last_used(query, keys, since, until)
            tags_of = self._of_keys
        used: dict[str, int] = {}
        for one, last in found.items():
            for tag in wanted.intersection(tags_of[one]):
                used[tag] = max(used.get(tag, 0), last)
        return used


def ranked(lines: Values, order: Order, after: tuple[int, str] | None = None) -> list[tuple[str, int]]:
    """The names and sizes of lines, the largest first, behind the line `after` of that size and name."""
    sizes: dict[str, int] = {}
    columns = {"tokens": ("input_tokens", "output_tokens"), "group": ()}.get(order, (order,))
    places = [rollups.SUMS.index(name) for name in columns]
    for (_, name), (sums, _) in lines.items():
        sizes[name] = sizes.get(name, 0) + sum(sums[place] for place in places)
    found = sorted(sizes.items(), key=_largest_first)
    return [one for one in found if after is None or _largest_first(one) > _largest_first((after[1], after[0]))]


class KeptParts:
    """Reads the sums of parts, and keeps those of hours and days. Several threads may use it."""

    def __init__(self, size: int = MAX_KEPT) -> None:
        """`size` is the maximum of sums that are kept."""
        self._size = size
        self._lock = Lock()
        self._tags: dict[str, str] = {}
        # By selection and place: the sums of all keys when it was read, by which it is known what is added, and of each
        # part. The one that was used longest ago is the first.
        self._kept: OrderedDict[tuple[Selection, _Place], tuple[Sums, _Parts]] = OrderedDict()
        self._count = 0

    def read(self, query: Query, only: Selection, tags: Tags, plan: Plan) -> Values:
        """The sums of each period and part."""
        source = Source("tag", only, tags.part_of)
        if source.reads_rows or len(set(tags.part_of.values())) > MAX_PARTS:
            return source.read(query, plan)
        places = sorted({(grain, start) for grain, start, _, _ in plan.pieces})
        found = self._of_places(query, source, places)
        query.check()
        sums: Values = {}
        for grain, start, sign, slot in plan.pieces:
            for part, one in found.get((grain, start), {}).items():
                sums[slot, part] = _added(sums.get((slot, part)), one, sign)
        return {place: one for place, one in sums.items() if any(one[0])}

    def _of_places(self, query: Query, source: Source, places: list[_Place]) -> dict[_Place, _Parts]:
        plan = _plan_of(places)
        marks = {places[slot]: sums for (slot, _), sums in Source("", Selection()).read(query, plan).items()}
        found = self._find(source, marks)
        missing = [place for place in marks if place not in found]
        if missing:
            read: dict[_Place, _Parts] = {place: {} for place in missing}
            for (slot, part), sums in source.read(query, _plan_of(missing)).items():
                read[missing[slot]][part] = sums
            self._keep(source, marks, read)
            found |= read
        return found

    def _find(self, source: Source, marks: Mapping[_Place, Sums]) -> dict[_Place, _Parts]:
        """What is kept and still right."""
        with self._lock:
            if self._tags != source.parts:
                self._kept.clear()
                self._count, self._tags = 0, dict(source.parts)
            found = {}
            for place, mark in marks.items():
                kept = self._kept.get((source.only, place))
                if kept is not None and kept[0] == mark:
                    self._kept.move_to_end((source.only, place))
                    found[place] = kept[1]
            return found

    def _keep(self, source: Source, marks: Mapping[_Place, Sums], read: Mapping[_Place, _Parts]) -> None:
        with self._lock:
            if self._tags != source.parts:
                # Another query has other tags, which are newer or older.
                return
            for place, parts in read.items():
                before = self._kept.pop((source.only, place), None)
                self._kept[source.only, place] = marks[place], parts
                self._count += 1 + len(parts) - (1 + len(before[1]) if before is not None else 0)
            while self._count > self._size:
                _, (_, parts) = self._kept.popitem(last=False)
                self._count -= 1 + len(parts)


def _added(one: Sums | None, other: Sums, sign: int) -> Sums:
    """Neither of them is changed."""
    if one is None:
        return other if sign > 0 else ([-a for a in other[0]], [-a for a in other[1]])
    return (
        [a + sign * b for a, b in zip(one[0], other[0], strict=True)],
        [a + sign * b for a, b in zip(one[1], other[1], strict=True)],
    )


def _plan_of(places: list[_Place]) -> Plan:
    """Each place as a period of its own."""
    return Plan(tuple((grain, start, 1, number) for number, (grain, start) in enumerate(places)), ())


def _largest_first(line: tuple[str, int]) -> tuple[int, str]:
    return -line[1], line[0]
