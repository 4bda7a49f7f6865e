"""What the pages say follows from the facts."""

from decimal import Decimal

from proxy.config.tree import Price
from proxy.pages.documentation.blocks import Table, markdown
from proxy.pages.documentation.content import LEAD, TITLE, home_sections
from tests.pages.documentation.serving import facts, model


def page(**settings: object) -> str:
    return markdown(TITLE, LEAD, home_sections(facts(**settings)))  # type: ignore[arg-type]


def test_the_sections_are_those_of_the_hosted_page() -> None:
    assert [section.id for section in home_sections(facts())] == [
        "start",
        "models",
        "pricing",
        "agent-spec",
        "try",
        "sdk",
        "examples",
        "endpoints",
        "streaming",
        "limits",
        "errors",
        "agents",
    ]


def test_the_tables_of_the_hosted_page_are_there_row_by_row() -> None:
    text = page()
    for row in (
        "| `prometheus-core` | `/v1/chat/completions` | Deep reasoning | "
        "Planning, code, analysis, hard decisions, multi-step agents. |",
        "| `prometheus-echo` | `/v1/audio/transcriptions` | Audio transcription | "
        "Meetings, calls, voice notes, subtitles, speech-to-text. |",
        "| `prometheus-atlas` | Embeddings | $0.02 / 1M | — |",
        "| `prometheus-echo` | Audio transcription | $0.006 / minute | — |",
        "| `prometheus-vision` | Vision chat | $0.40 / 1M | $1.60 / 1M |",
    ):
        assert row in text


def test_a_price_that_is_missing_is_said() -> None:
    assert "| `a` | Chat | no price set | — |" in page(models={"a": model()})


def test_further_prices_have_a_column() -> None:
    price = Price(input=Decimal("2"), output=Decimal("8"), cached_input=Decimal("0.5"))
    assert "| `a` | Chat | $2.00 / 1M | $8.00 / 1M | cached input $0.50 / 1M |" in page(
        models={"a": model(price=price)}
    )


def test_realtime_is_noted_as_what_it_is() -> None:
    assert "The Realtime API over WebSocket (`/v1/realtime`) is not served." in page()
    assert "Realtime API" not in page(models={"a": model()})


def test_the_size_of_audio_is_that_of_the_configuration() -> None:
    assert "An audio file may have 25 MB." in page()
    assert "An audio file may have 10 MB." in page(max_audio_bytes=10 * 2**20)


def test_every_row_of_a_table_has_all_cells() -> None:
    for section in home_sections(facts()):
        for block in section.blocks:
            if isinstance(block, Table):
                assert {len(row) for row in block.rows} == {len(block.heads)}, block.caption
