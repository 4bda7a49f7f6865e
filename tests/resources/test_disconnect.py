"""A client that disconnects ends the call to the upstream, whatever it waited for."""

from pathlib import Path

from tests.fakes import Hang, ScriptedUpstream
from tests.resources.samples import KEY, gateway_over, record_owner


def test_a_client_that_leaves_ends_the_call_upstream(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "file-1")
        upstream.script([Hang()])
        with gateway.client() as client:
            client.request("GET", "/v1/files/file-1", headers={"authorization": f"Bearer {KEY}"})
            (request,) = upstream.wait_for_requests(1)
        assert request.closed.wait(5)
        (row,) = gateway.rows()
        assert (row.outcome, row.status) == ("client_closed", 499)


def test_a_client_that_leaves_its_upload_ends_the_call_upstream(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "upload_1", "upload")
        upstream.handler = lambda request: [Hang()]
        start = b'--b\r\nContent-Disposition: form-data; name="data"; filename="p"\r\n\r\nhalf'
        with gateway.client() as client:
            headers = {"authorization": f"Bearer {KEY}", "content-type": "multipart/form-data; boundary=b"}
            client.request("POST", "/v1/uploads/upload_1/parts", start, {**headers, "content-length": "1000"})
            (request,) = upstream.wait_for_requests(1)
        assert request.closed.wait(5)
        (row,) = gateway.rows()
        assert row.outcome == "client_closed"
