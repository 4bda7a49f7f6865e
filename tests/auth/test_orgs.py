"""Organisations and their documents."""

from pathlib import Path

from proxy.auth.store import Store
from proxy.auth.values import OrgFields, TeamFields
from tests.auth.stores import refused, run_store


def test_an_organisation_with_teams_cannot_be_deleted(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        await store.orgs.create(OrgFields(name="acme"), actor="t")
        await store.teams.create(TeamFields(name="web", org="acme"), actor="t")
        assert await refused(store.orgs.delete("acme", actor="t")) == (409, "org_in_use", None)
        await store.teams.delete("web", actor="t")
        await store.orgs.delete("acme", actor="t")
        assert await refused(store.orgs.get("acme")) == (404, "org_not_found", None)

    run_store(tmp_path, test)


def test_a_document_is_replaced_as_a_whole_and_its_secrets_are_not_in_the_audit_table(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        document = {"providers": {"p": {"api_key": "sk-very-secret", "timeout": 3}}}
        org = await store.orgs.put_config("acme", document, actor="t")
        assert await store.orgs.config(org.id) == document
        assert await refused(store.orgs.put_config("acme", {}, actor="t", expected=1)) == (
            412,
            "version_mismatch",
            None,
        )
        row = (await store.audit.list())[0]
        assert row.action == "org.config"
        assert row.after == {"providers": {"p": {"api_key": "****", "timeout": 3}}}
        await store.orgs.delete_config("acme", actor="t")
        assert await store.orgs.config("acme") is None
        assert await store.orgs.find("acme") is not None

    run_store(tmp_path, test)
