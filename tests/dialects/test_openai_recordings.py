"""OpenAI's dialect over recorded chat answers: the same bytes but for the model, and the usage that was reported."""

from proxy.dialects.openai_chat import CHAT
from proxy.wire.json_rewrite import JsonRewriter
from proxy.wire.schemas import Usage
from tests.corpus import Exchange, exchanges, with_model
from tests.dialects.chats import ALIAS, UPSTREAM, counters, meter, relay
from tests.wire.cuts import chunkings, random_chunkings, single_bytes


def test_recorded_streams_give_a_client_that_asked_the_same_but_for_the_model() -> None:
    for exchange in chat_recordings(stream=True):
        data = exchange.response
        wanted = exchange.expected_client_bytes(ALIAS)
        tries = [[data], *random_chunkings(data, 50 if len(data) < 20_000 else 10)]
        if len(data) < 20_000:
            tries.append(single_bytes(data))
        seen = set()
        for pieces in tries:
            one = meter()
            assert relay(pieces, one) == wanted, exchange.id
            seen.add(counters(one))
        assert len(seen) == 1, exchange.id


def test_recorded_streams_give_the_expected_usage() -> None:
    for exchange in chat_recordings(stream=True):
        one = meter()
        relay([exchange.response], one)
        assert_usage(one.usage(), exchange)


def test_recorded_streams_lose_at_most_the_usage_event_for_a_client_that_did_not_ask() -> None:
    left_out = 0
    for exchange in chat_recordings(stream=True):
        wanted = exchange.expected_client_bytes(ALIAS)
        for pieces in ([exchange.response], *random_chunkings(exchange.response, 2)):
            one = meter(True)
            out = relay(pieces, one)
            assert_usage(one.usage(), exchange)
            missing = [block for block in wanted.split(b"\n\n") if block not in out.split(b"\n\n")]
            assert len(missing) <= 1, exchange.id
            assert all(b'"choices":[]' in block and b'"usage":{' in block for block in missing), exchange.id
            left_out += len(missing)
    assert left_out


def test_recorded_streams_are_whole() -> None:
    for exchange in chat_recordings(stream=True):
        one = meter()
        relay([exchange.response], one)
        assert one.finished or one.ended, exchange.id


def test_recorded_json_answers_have_the_alias_and_the_expected_usage() -> None:
    for exchange in chat_recordings(stream=False):
        wanted = exchange.expected_client_bytes(ALIAS)
        one = meter()
        assert JsonRewriter(one, ALIAS).whole(exchange.response) == wanted, exchange.id
        assert_usage(one.usage(), exchange)
        assert one.finished, exchange.id
        for pieces in chunkings(exchange.response, 50):
            one = meter()
            rewriter = JsonRewriter(one, ALIAS)
            assert b"".join(rewriter.feed(piece) for piece in pieces) == wanted, exchange.id
            assert rewriter.closed
            one.read(rewriter.summary)
            assert_usage(one.usage(), exchange)


def test_recorded_embeddings_pass_with_the_alias() -> None:
    for exchange in exchanges(dialect="openai-embeddings", status=200):
        wanted = with_model(exchange.response, ALIAS)
        one = CHAT.json_meter(ALIAS, UPSTREAM, False)
        assert JsonRewriter(one, ALIAS).whole(exchange.response) == wanted
        for pieces in random_chunkings(exchange.response, 50):
            rewriter = JsonRewriter(meter(), ALIAS)
            assert b"".join(rewriter.feed(piece) for piece in pieces) == wanted
            assert b"prompt_tokens" in rewriter.summary


def chat_recordings(stream: bool) -> list[Exchange]:
    """Those that hold no error, whose text may change."""
    return [
        exchange
        for exchange in exchanges(dialect="openai-chat", stream=stream, status=200)
        if not any(isinstance(value, dict) and value.get("error") for value in exchange.events())
    ]


def assert_usage(usage: Usage | None, exchange: Exchange) -> None:
    expected = exchange.expected_usage()
    if expected is None:
        assert usage is None, exchange.id
        return
    assert usage is not None, exchange.id
    assert (
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
    ) == (
        expected.input_tokens,
        expected.cached_input_tokens,
        expected.cache_write_tokens,
        expected.output_tokens,
        expected.reasoning_tokens,
    ), exchange.id
