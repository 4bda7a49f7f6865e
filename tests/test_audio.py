"""The length of audio files: what can be told, and that nothing is guessed."""

import asyncio
import struct

import pytest

from proxy import audio
from proxy.audio import AudioMeter, milliseconds
from tests.endpoints.forms import wav


def measure(*files: bytes) -> tuple[list[int | None], int]:
    """The lengths of files measured at once, and how many could not be told."""

    async def run() -> tuple[list[int | None], int]:
        meter = AudioMeter()
        loop = asyncio.get_running_loop()
        found: list[asyncio.Future[int | None]] = [loop.create_future() for _ in files]
        try:
            for data, future in zip(files, found, strict=True):
                meter.measure(data, future.set_result)
            return list(await asyncio.gather(*found)), meter.unknown
        finally:
            meter.close()

    return asyncio.run(run())


def flac(samples: int, rate: int) -> bytes:
    """The head of a FLAC file."""
    block = struct.pack(">HH", 4096, 4096) + bytes(6)
    block += ((rate << 44) | (0 << 41) | (15 << 36) | samples).to_bytes(8, "big") + bytes(16)
    return b"fLaC" + b"\x80" + len(block).to_bytes(3, "big") + block


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


def test_files_are_measured_off_the_loop_and_the_unknown_ones_counted() -> None:
    assert measure(wav(1.0), b"nothing", wav(2.0)) == ([1000, None, 2000], 1)


def test_more_files_than_may_wait_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "MAX_WAITING", 2)
    found, unknown = measure(*[wav(1.0)] * 4)
    assert None in found
    assert unknown == found.count(None)


def test_without_the_library_no_length_is_told_and_the_log_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(audio, "INSTALLED", False)
    assert measure(wav(1.0)) == ([None], 1)
    assert "pip install 'prometheus-gateway[audio]'" in caplog.text
