"""Store: all that `keys.db` has, over one connection: keys, teams, organisations, credits and the audit table.

Several changes are one transaction inside `database.transaction()`.
"""

from pathlib import Path

from proxy.auth.audit import AuditLog
from proxy.auth.credits import CreditStore
from proxy.auth.database import Database
from proxy.auth.groups import not_owned
from proxy.auth.keys import KeyStore
from proxy.auth.orgs import OrgStore
from proxy.auth.teams import TeamStore
from proxy.config.file_budgets import FileOwner


class Store:
    """`open` it, or use it as a context manager; its parts raise StoreFailed and InvalidRequest."""

    def __init__(self, data_dir: Path, *, prefix: str = "prom_sk_", owner: FileOwner = not_owned) -> None:
        """`prefix` is put in front of each new secret; `owner` says what the configuration file names."""
        self.database = Database(data_dir / "keys.db")
        self.keys = KeyStore(data_dir, prefix=prefix, database=self.database, owner=owner)
        self.teams = TeamStore(self.database, owner)
        self.orgs = OrgStore(self.database, owner)
        self.credits = CreditStore(self.database, self.keys)
        self.audit = AuditLog(self.database)

    async def __aenter__(self) -> "Store":
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Open the database; create it when it does not exist, and migrate an older one."""
        await self.database.open()

    async def close(self) -> None:
        """Close the database."""
        await self.database.close()
