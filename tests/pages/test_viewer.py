"""What a viewer may see of the ledger."""

from proxy.ledger.selection import Selection
from proxy.pages.viewer import Viewer

OWNER, ADMIN = Viewer("key_1", "key:one", "csrf"), Viewer(None, "admin", "csrf")


def test_an_admin_sees_what_is_chosen() -> None:
    assert ADMIN.only(Selection(keys=("key_2",))) == Selection(keys=("key_2",))


def test_an_owner_sees_their_own_key_alone() -> None:
    assert OWNER.only(Selection()) == Selection(keys=("key_1",))
    assert OWNER.only(Selection(keys=("key_1", "key_2"))).keys == ("key_1",)


def test_an_owner_who_chooses_another_key_sees_nothing() -> None:
    assert OWNER.only(Selection(keys=("key_2",))).tagged == ()
