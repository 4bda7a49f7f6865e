"""A row of the table of resource endpoints: its ids, and its path at the upstream."""

from proxy.resources.spec import ResourceRow


def test_the_path_at_the_upstream_has_the_ids_and_no_version() -> None:
    row = ResourceRow("GET", "/v1/threads/{thread_id}/runs/{run_id}", "Show a run.")
    assert row.ids == ("thread_id", "run_id")
    assert row.upstream_path({"thread_id": "t", "run_id": "r"}) == "/threads/t/runs/r"


def test_a_path_without_ids_stays_as_it_is() -> None:
    assert ResourceRow("GET", "/v1/files", "List files.").upstream_path({}) == "/files"
