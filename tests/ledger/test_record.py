"""The records: what the journal writes is what its reader gets, and absurd numbers are refused."""

import msgspec
import pytest

from proxy.ledger.record import AttemptRecord, OwnershipRecord, Record, UsageRecord
from proxy.wire.schemas import MAX_COUNT, MAX_NANO_DOLLARS
from tests.ledger.samples import final, opened

OWNED = OwnershipRecord("file-1", "file", "key_aaaaaaaaaaaa", "openai", 1)
decode = msgspec.json.Decoder(Record).decode


@pytest.mark.parametrize("record", [opened(1), final(1), OWNED, msgspec.structs.replace(OWNED, gone=True)])
def test_a_record_is_read_as_what_was_written(record: AttemptRecord | UsageRecord | OwnershipRecord) -> None:
    assert decode(msgspec.json.encode(record)) == record


def test_rare_fields_take_no_room() -> None:
    line = msgspec.json.encode(final(1))
    assert b"advisor_input_tokens" not in line
    assert b"requested_model" not in line


def test_a_journal_of_an_earlier_version_is_read() -> None:
    old = {name: value for name, value in msgspec.to_builtins(final(1)).items() if name != "unpriced_parts"}
    assert decode(msgspec.json.encode(old)) == final(1)


@pytest.mark.parametrize(
    "absurd",
    [{"input_tokens": MAX_COUNT + 1}, {"output_tokens": -1}, {"cost": MAX_NANO_DOLLARS + 1}, {"started": -1}],
)
def test_numbers_that_would_overflow_the_sums_are_refused(absurd: dict[str, int]) -> None:
    line = msgspec.json.encode(msgspec.to_builtins(final(1)) | absurd)
    with pytest.raises(msgspec.ValidationError):
        decode(line)
