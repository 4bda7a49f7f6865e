"""`keys credits add|list`: prepaid credits of a key."""

from datetime import datetime
from decimal import Decimal, InvalidOperation

import click

from proxy.auth.credits import MAX_PAGE_ROWS, Credit
from proxy.auth.keys import StoredKey
from proxy.auth.store import Store
from proxy.auth.values import valid_nano
from proxy.cli import time_options
from proxy.cli.key_view import minute_text, time_text
from proxy.cli.options import Place, store_options
from proxy.cli.output import print_json, print_note, print_table, usd
from proxy.cli.subjects import actor
from proxy.cli.usage_errors import Group, Number


@click.group(cls=Group)
def command() -> None:
    """Add prepaid credits to a key, and list them.

    A key that was ever given credits can spend no more than it was given; one without is not bound by that.
    """


@command.command(
    epilog="Example: keys credits add customer-7 25.00 --note 'invoice 1042' --idempotency-key invoice-1042",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("name")
@click.argument("amount")
@click.option("--note", default="", metavar="TEXT", help="What they are for; it stands in the list.")
@click.option(
    "--expires", callback=time_options.future, metavar="TIME", help="What is left then is lost: 90d, 2026-12-31."
)
@click.option("--idempotency-key", metavar="TEXT", help="The same text adds credits once, however often it is run.")
@store_options
def add(
    name: str,
    amount: str,
    note: str,
    expires: datetime | None,
    idempotency_key: str | None,
    place: Place,
    as_json: bool,
) -> None:
    """Add AMOUNT in USD to the key NAME (or id); a negative amount corrects an earlier one."""
    try:
        nano = valid_nano(Decimal(amount.removeprefix("$")), "amount")
    except InvalidOperation as error:
        raise click.BadParameter(f"'{amount}' is no amount of USD", param_hint="AMOUNT") from error

    async def work(store: Store) -> tuple[Credit, bool, StoredKey]:
        credit, is_new = await store.credits.add(
            name, nano, note=note, expires=expires, idempotency_key=idempotency_key, actor=actor()
        )
        return credit, is_new, await store.keys.get(credit.key)

    credit, is_new, key = place.in_store(work)
    if as_json:
        print_json({**_as_data(credit), "added": is_new, "total": usd(key.credits)})
        return
    what = f"{usd(credit.amount)} USD were added" if is_new else "These credits had been added before; nothing changed"
    print_note(f"{what}. Key {key.name} ({key.id}) was given {usd(key.credits)} USD in all.")


@command.command("list")
@click.argument("name")
@click.option("--limit", type=Number(1, MAX_PAGE_ROWS - 1), default=100, show_default=True, help="Most lines.")
@click.option("--before", metavar="ID", help="Go on before this addition, the last one of the page before.")
@store_options
def list_command(name: str, limit: int, before: str | None, place: Place, as_json: bool) -> None:
    """List what was added to the key NAME (or id), the newest first."""

    async def work(store: Store) -> tuple[list[Credit], StoredKey]:
        return await store.credits.list(name, limit=limit + 1, before=before), await store.keys.get(name)

    found, key = place.in_store(work)
    credits = found[:limit]
    if as_json:
        print_json([_as_data(credit) for credit in credits])
    elif credits:
        rows = [
            (one.id, minute_text(one.created), usd(one.amount), minute_text(one.expires), one.note) for one in credits
        ]
        print_table(("id", "added", "USD", "expires", "note"), rows, ("expires",))
        print_note(
            f"Key {key.name} was given {usd(key.credits)} USD in all; prometheus-gateway budgets says what is left."
        )
    else:
        print_note(f"Key {key.name} has no credits, and needs none.")
    if len(found) > limit:
        print_note(f"There are more: --before {credits[-1].id}")


def _as_data(credit: Credit) -> dict[str, object]:
    return {
        "id": credit.id,
        "key": credit.key,
        "amount": usd(credit.amount),
        "note": credit.note,
        "created": time_text(credit.created),
        "expires": time_text(credit.expires),
    }
