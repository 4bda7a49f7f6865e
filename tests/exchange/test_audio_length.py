"""The length of audio files: what can be told, and that nothing is guessed."""

import asyncio
import contextlib
import functools
import struct
import time

import pytest

from proxy.exchange import audio_length
from proxy.exchange.audio_length import QUICK_STEPS, AudioMeter, TooManySteps, milliseconds, wav_milliseconds
from tests.endpoints.forms import flac, wav


def measure(*files: bytes) -> tuple[list[int | None], int]:
    """The lengths of files measured at once, and how many could not be told."""
    found = reasons(*files)
    return [length for length, _ in found], sum(reason != "" for _, reason in found)


def reasons(*files: bytes) -> list[tuple[int | None, str]]:
    """The lengths of files measured at once, and why those that are not known are not."""

    async def run() -> list[tuple[int | None, str]]:
        meter = AudioMeter()
        loop = asyncio.get_running_loop()
        found: list[asyncio.Future[tuple[int | None, str]]] = [loop.create_future() for _ in files]
        try:
            for data, future in zip(files, found, strict=True):
                meter.measure(memoryview(data), lambda *told, future=future: future.set_result(told))
            return list(await asyncio.gather(*found))
        finally:
            meter.close()

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (wav(2.5), 2500),
        (wav(0.001), 1),
        (flac(44_100 * 3 + 1, 44_100), 3001),
        (b"", None),
        (b"no sound at all", None),
        (b"RIFF" + bytes(40), None),
        (b"RIFF\xff\xff\xff\xffWAVEfmt \xff\xff\xff\xff", None),
        (b"fLaC" + b"\xff" * 100, None),
        (b"ID3" + b"\xff" * 100, None),
        (b"OggS" + bytes(200), None),
        (bytes(8) + b"ftypM4A " + b"\xff" * 100, None),
    ],
)
def test_a_length_is_told_in_milliseconds_rounded_up_or_not_at_all(data: bytes, expected: int | None) -> None:
    assert milliseconds(data) == expected


def test_files_are_measured_together_and_the_unknown_ones_say_why() -> None:
    known, unknown, other = reasons(flac(44_100, 44_100), b"nothing", wav(2.0))
    assert (known, unknown[0], other) == ((1000, ""), None, (2000, ""))
    assert "not known" in unknown[1]


def test_more_files_than_may_wait_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_length, "MAX_WAITING", 2)
    found, unknown = measure(*[flac(44_100, 44_100)] * 4)
    assert found.count(None) == unknown == 2


def test_without_the_library_wav_is_measured_and_of_others_it_is_said_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audio_length, "INSTALLED", False)
    (known, _), (unknown, reason) = reasons(wav(1.0), flac(44_100, 44_100))
    assert (known, unknown) == (1000, None)
    assert "pip install 'prometheus-gateway[audio]'" in reason


def chunk(name: bytes, content: bytes, length: int | None = None) -> bytes:
    """A chunk of a WAV file, of whatever length it says."""
    return name + struct.pack("<I", len(content) if length is None else length) + content + bytes(len(content) % 2)


def riff(*chunks: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + sum(map(len, chunks))) + b"WAVE" + b"".join(chunks)


def fmt(
    form: int = 1, channels: int = 2, rate: int = 8_000, bits: int = 16, align: int = 4, more: bytes = b""
) -> bytes:
    return chunk(b"fmt ", struct.pack("<HHIIHH", form, channels, rate, rate * align, align, bits) + more)


EXTENSION = struct.pack("<HHIH", 22, 16, 3, 1) + bytes(14)
SECOND = bytes(32_000)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (riff(fmt(), chunk(b"data", SECOND)), 1000),
        (riff(chunk(b"LIST", b"odd"), fmt(), chunk(b"fact", bytes(4)), chunk(b"data", SECOND)), 1000),
        (riff(fmt(0xFFFE, more=EXTENSION), chunk(b"data", SECOND)), 1000),
        (riff(fmt(3, 1, 8_000, 32), chunk(b"data", SECOND)), 1000),
        (riff(fmt(7, 1, 8_000, 8), chunk(b"data", SECOND[:8_000])), 1000),
        # Written to a pipe: its length was not known.
        (riff(fmt(), chunk(b"data", SECOND, 0xFFFFFFFF)), 1000),
        (riff(fmt(), chunk(b"data", SECOND, 0)), 1000),
        # Longer than what is there, and a cheap first part.
        (riff(fmt(), chunk(b"data", SECOND, 10_000_000)), 1000),
        (riff(fmt(), chunk(b"data", bytes(100)), chunk(b"data", SECOND[:-100])), 1000),
        # The size of a frame that the head gives, and a second format, count for nothing.
        (riff(fmt(align=4_000), chunk(b"data", SECOND)), 1000),
        (riff(fmt(), chunk(b"data", SECOND), fmt(rate=96_000)), 1000),
        (riff(chunk(b"data", SECOND)), None),
        (riff(fmt(rate=0), chunk(b"data", SECOND)), None),
        (riff(fmt(channels=0), chunk(b"data", SECOND)), None),
        (riff(fmt(17), chunk(b"data", SECOND)), None),
        (riff(fmt(), chunk(b"data", b"")), None),
        (riff(fmt(), *[chunk(b"junk", b"")] * 300, chunk(b"data", SECOND)), None),
        (b"RIFF", None),
    ],
)
def test_a_wav_file_is_measured_by_its_head_and_what_is_there(data: bytes, expected: int | None) -> None:
    assert wav_milliseconds(memoryview(data)) == expected


HOSTILE = {
    "sync bytes": b"ID3\x04" + bytes(6) + b"\xff" * 2_000_000,
    "frames": b"\xff\xe0\0\0" * 500_000,
    "atoms": b"\0\0\0\x10ftypM4A " + bytes(4) + b"\0\0\0\x08free" * 500_000,
    "atoms that go back": b"\0\0\0\x10ftypM4A " + bytes(4) + b"\0\0\0\x01free" + bytes(7) + b"\x01",
    "chunks": b"RIFF" + bytes(4) + b"WAVE" + chunk(b"data", bytes(100)) + bytes(4_000_000),
    "pages": (b"OggS" + bytes(22) + b"\x01" + b"\0") * 200_000,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_ends_after_its_steps(kind: str) -> None:
    steps = 0

    def counted() -> bool:
        nonlocal steps
        steps += 1
        return False

    with contextlib.suppress(TooManySteps):
        assert milliseconds(HOSTILE[kind], QUICK_STEPS, counted) is None
    assert steps <= QUICK_STEPS


def test_hostile_files_do_not_keep_others_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The good one comes last, and is measured while each of them still is."""
    monkeypatch.setattr(audio_length, "MAX_SECONDS", 60.0)
    monkeypatch.setattr(audio_length, "MAX_STEPS", 10**9)
    order: list[int] = []

    async def run() -> None:
        meter = AudioMeter()
        done = asyncio.Event()

        def told(number: int, length: int | None, _: str) -> None:
            order.append(number)
            if length is not None:
                assert length == 1000
                done.set()

        files = [HOSTILE["sync bytes"]] * 5 + [flac(44_100, 44_100)]
        for number, data in enumerate(files):
            meter.measure(memoryview(data), functools.partial(told, number))
        async with asyncio.timeout(30):
            await done.wait()
        meter.close()

    asyncio.run(run())
    assert order == [5]


def test_what_is_being_measured_ends_with_the_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_length, "QUICK_STEPS", 10**9)

    async def run() -> None:
        meter = AudioMeter()
        meter.measure(memoryview(b"ID3\x04" + bytes(6) + b"\xff" * 8_000_000), lambda *_: None)
        while not meter._threads[0][0]._threads:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)
        meter.close()
        meter._threads[0][0].shutdown(wait=True)
        assert meter._closed.is_set()

    began = time.process_time()
    asyncio.run(run())
    # All of it takes ten times as long.
    assert time.process_time() - began < 2.0
