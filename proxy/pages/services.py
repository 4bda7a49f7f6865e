"""PageServices: what the handlers of pages may use of their gateway."""

from collections import Counter
from typing import Any

from proxy.admin.services import AdminServices
from proxy.auth.names import CurrentNames
from proxy.config.tree import Config
from proxy.pages.sessions import Sessions
from proxy.pages.templates import Templates
from proxy.policies.standing import KeyStanding


class PageServices:
    """What handlers may use; `admin` has the store, the key index, the state of the upstreams and the ledger."""

    def __init__(self, admin: AdminServices, templates: Templates, sessions: Sessions) -> None:
        self.admin = admin
        self.templates = templates
        self.sessions = sessions
        #: The OpenAPI document of a configuration, without its address; None until it is read.
        self.document: tuple[Config, dict[str, Any]] | None = None
        #: Live streams of each session that run in this process, by its token.
        self.live: Counter[str] = Counter()
        #: Whether the ledger has made-up rows, which come before the start; None until it was read.
        self.has_sample: bool | None = None
        #: What `keys.db` calls keys and teams.
        self.names = CurrentNames(admin.state.ledger.data_dir)
        #: What keys may still use.
        self.standing = KeyStanding(admin.state)

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.admin.state.config
