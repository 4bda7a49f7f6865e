"""Events by webhook: signed, tried again, to public addresses only, and in nobody's way."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Callable

import pytest

from proxy.config.tree import Webhooks
from proxy.observability import webhooks
from proxy.observability.webhooks import WebhookFailed, WebhookSender, allowed_address, is_public, signature
from tests.fakes import Close, RecordedRequest, ScriptedUpstream, Step, json_answer


def deliver(sender_of: Callable[[], WebhookSender], count: int = 1) -> WebhookSender:
    """Send events and wait until each is delivered or given up."""

    async def run() -> WebhookSender:
        sender = sender_of()
        for number in range(count):
            sender.send("budget.warning", {"number": number})
        await asyncio.gather(*sender._pending)
        return sender

    return asyncio.run(run())


def sender_to(upstream: ScriptedUpstream, secret: str = "", path: str = "/hook?a=1") -> WebhookSender:
    url = f"{upstream.base_url.removesuffix('/v1')}{path}"
    return WebhookSender(Webhooks(url=url, secret=secret, allow_private=True), retry_seconds=(0.01,))


def taken(_: RecordedRequest) -> list[Step]:
    return json_answer({}, 202)


def test_an_event_is_posted_and_signed() -> None:
    key = b"0123456789abcdef01234567"
    with ScriptedUpstream(taken) as upstream:
        deliver(lambda: sender_to(upstream, f"whsec_{base64.b64encode(key).decode()}"))
        request = upstream.requests[0]
    assert (request.method, request.target) == ("POST", "/hook?a=1")
    event = json.loads(request.body)
    assert (event["type"], event["data"]) == ("budget.warning", {"number": 0})
    id_, moment = request.header("webhook-id"), request.header("webhook-timestamp")
    signed = hmac.new(key, f"{id_}.{moment}.".encode() + request.body, hashlib.sha256).digest()
    assert request.header("webhook-signature") == f"v1,{base64.b64encode(signed).decode()}"


def test_a_secret_of_no_form_signs_as_it_stands() -> None:
    signed = hmac.new(b"plain", b"msg_1.7.{}", hashlib.sha256).digest()
    assert signature("plain", "msg_1", 7, b"{}") == f"v1,{base64.b64encode(signed).decode()}"
    assert signature("whsec_!", "msg_1", 7, b"{}").startswith("v1,")


def test_an_event_that_is_not_taken_is_tried_again_with_the_same_id() -> None:
    with ScriptedUpstream(taken) as upstream:
        upstream.script(json_answer({}, 500))
        upstream.script([Close()])
        upstream.script(json_answer({}, 302, {"location": "http://127.0.0.1:1/"}))
        deliver(lambda: sender_to(upstream))
        # A connection that broke on reuse may have been replaced once.
        assert len(upstream.requests) == 4
        assert len({request.header("webhook-id") for request in upstream.requests}) == 1
        assert len({request.body for request in upstream.requests}) == 1


def test_a_receiver_that_is_gone_is_left_alone() -> None:
    with ScriptedUpstream(taken) as upstream:
        upstream.script(json_answer({}, 410))
        deliver(lambda: sender_to(upstream))
        assert len(upstream.requests) == 1


def test_an_event_is_given_up_after_a_day(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(webhooks, "MAX_AGE_SECONDS", 0.0)
    with ScriptedUpstream(lambda _: json_answer({}, 500)) as upstream:
        deliver(lambda: sender_to(upstream, path="/secret-path"))
        assert len(upstream.requests) == 1
    assert "is given up: status 500" in caplog.text
    assert "secret-path" not in caplog.text


def test_events_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(webhooks, "MAX_PENDING", 3)
    with ScriptedUpstream(taken) as upstream:
        deliver(lambda: sender_to(upstream), 5)
        assert len(upstream.requests) == 3
    assert "was dropped" in caplog.text


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("192.168.1.1", False),
        ("172.16.0.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("2002:7f00:1::", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::5db8:d822", True),
        ("64:ff9b:1::7f00:1", False),
        ("::127.0.0.1", False),
        ("::ffff:0:7f00:1", False),
        ("fec0::1", False),
        ("168.63.129.16", False),
        ("192.0.0.192", False),
        ("2606:4700::1111", True),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) == public


def test_a_host_that_is_no_name_is_a_failed_delivery() -> None:
    with pytest.raises(WebhookFailed, match="no name"):
        asyncio.run(allowed_address("a..b", 443, allow_private=False))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "2130706433"])
def test_a_private_address_is_refused_whatever_it_is_called(host: str) -> None:
    with pytest.raises(WebhookFailed, match="allow_private = true"):
        asyncio.run(allowed_address(host, 80, allow_private=False))


def test_nothing_is_sent_to_a_private_address(caplog: pytest.LogCaptureFixture) -> None:
    with ScriptedUpstream(taken) as upstream:
        url = upstream.base_url.replace("127.0.0.1", "localhost")

        async def run() -> None:
            sender = WebhookSender(Webhooks(url=url), retry_seconds=(0.01,))
            sender.send("budget.warning", {})
            await asyncio.sleep(0.2)
            for task in list(sender._pending):
                task.cancel()

        asyncio.run(run())
        assert "its address is private" in caplog.text
        assert not upstream.requests
