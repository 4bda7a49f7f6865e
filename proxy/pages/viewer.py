"""Viewer: who has signed in to the dashboard, and what they may see of the ledger."""

from dataclasses import dataclass

from proxy.ledger.selection import Selection


@dataclass(frozen=True)
class Viewer:
    """Who has signed in. Every query of a page takes its `only`: nothing else keeps one key's owner from another's."""

    #: The id of the key whose owner it is; None for an admin, who sees all of them.
    key: str | None
    #: For the audit table.
    actor: str
    #: What each form of the session must send.
    csrf: str

    @property
    def is_admin(self) -> bool:
        """Whether the viewer signed in with the admin token."""
        return self.key is None

    def only(self, chosen: Selection) -> Selection:
        """A selection, within what the viewer may see."""
        if self.key is None:
            return chosen
        return Selection(
            keys=(self.key,),
            # What is chosen of other keys matches nothing, rather than the viewer's own.
            tagged=None if not chosen.keys or self.key in chosen.keys else (),
            aliases=chosen.aliases,
            endpoints=chosen.endpoints,
            outcomes=chosen.outcomes,
            statuses=chosen.statuses,
            sessions=chosen.sessions,
            users=chosen.users,
            metadata=chosen.metadata,
        )
