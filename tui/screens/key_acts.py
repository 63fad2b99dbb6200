"""What is done to keys: ask in a dialog, let the store do it, show what came of it.

A dialog and what it needs of the store are imported when it is opened, so that the first page is painted sooner.
"""

import os
from collections.abc import Awaitable, Callable, Coroutine
from datetime import date
from typing import TYPE_CHECKING, Any, TypeAlias

from textual.app import App

from store import companies, installation, keys, users
from store.errors import KeydeskError
from store.fields import instant, seconds
from store.keys import Created
from store.listings.keys import KeyRow
from store.rules import calendar, expiry
from store.rules.key_format import Environment
from store.tables import Company
from tui import cells
from tui.screens.section import Section
from tui.surroundings import Surroundings

if TYPE_CHECKING:
    from tui.dialogs.edit_expiry import KeyShown
    from tui.dialogs.new_key import NewKeyDraft, ResourceChoice

Desk: TypeAlias = App[None]
KeyAct: TypeAlias = Callable[[Desk, Surroundings, KeyRow], Coroutine[Any, Any, None]]


async def carried_out(app: Desk, desk: Surroundings, change: Callable[[], Any]) -> Any:
    """What the store gave back; None when it refused, which is shown. All lists are read again afterwards."""
    try:
        made = await desk.recorder.record(change)
    except KeydeskError as refusal:
        from tui.dialogs.message import MessageDialog

        await app.push_screen_wait(MessageDialog(str(refusal), refused=True))
        made = None
    tell_written(app)
    return made


def tell_written(app: Desk) -> None:
    """Every page that is open shows what was written as soon as it is looked at."""
    for page in app.screen_stack:
        written = getattr(page, "outdated", None)
        if written is not None:
            written()


async def new_key(app: Desk, desk: Surroundings, company_id: int, resource: "ResourceChoice | None" = None) -> None:
    """The New key dialog, then the key, shown once."""
    from store import invoices
    from tui.dialogs.new_key import NewKeyDialog, ResourceChoice

    now = desk.clock()
    company = await desk.reader.read(lambda: companies.get(company_id))

    async def search(needle: str) -> list[ResourceChoice]:
        found = await desk.reader.read(lambda: users.resources(company_id, needle, limit=8))
        return [ResourceChoice(user.id, user.name, user.email) for user in found]

    async def cost(draft: "NewKeyDraft") -> tuple[str, ...]:
        try:
            said = await desk.reader.read(
                lambda: invoices.cost(company_id, draft.resource_id, draft.kind, desk.clock())
            )
        except KeydeskError as fault:
            said = str(fault)
        return (said,)

    draft = await app.push_screen_wait(
        NewKeyDialog(company.name, companies.today(company, now), search, cost, resource=resource)
    )
    if draft is None:
        return
    created = await carried_out(
        app,
        desk,
        lambda: keys.create(
            desk.actor,
            desk.peppers,
            company_id=company_id,
            resource_id=draft.resource_id,
            environment=draft.environment,
            kind=draft.kind,
            label=draft.label,
            expires_on=draft.expires_on,
            now=desk.clock(),
        ),
    )
    await _show(app, desk, created, company)


async def edit_expiry(app: Desk, desk: Surroundings, row: KeyRow) -> None:
    """Another last day."""
    from tui.dialogs.edit_expiry import EditExpiryDialog

    today = calendar.local_day(desk.clock(), calendar.zone(row.zone))
    day = await app.push_screen_wait(EditExpiryDialog(_shown(row), _kind(row), row.expires_on, today))
    if day is not None:
        changed = await carried_out(app, desk, lambda: keys.edit_expiry(desk.actor, row.id, day, desk.clock()))
        if changed is not None:
            tell_in(app, f"The key now works through {changed.expires_on}.")


async def rotate(app: Desk, desk: Surroundings, row: KeyRow) -> None:
    """A successor, shown once; the old key goes on for the overlap."""
    from store import invoice_preview
    from tui.dialogs.rotate_key import RotateKeyDialog

    now, zone = desk.clock(), calendar.zone(row.zone)
    settings = await desk.reader.read(installation.get)
    company = await desk.reader.read(lambda: companies.get(row.company_id))
    today = calendar.local_day(now, zone)
    until = expiry.overlap_end(row.ends_at, instant(seconds(now)), settings.overlap_days)
    proposed = dict(expiry.quick_choices(today))["1 year"]
    works_until = f"{cells.spelled(until, zone)} ({row.zone})"

    async def cost(day: date) -> tuple[str, ...]:
        return await desk.reader.read(lambda: invoice_preview.of_rotation(row.company_id, row.id, day, desk.clock()))

    choice = await app.push_screen_wait(RotateKeyDialog(_shown(row), works_until, today, proposed, cost))
    if choice is None:
        return
    created = await carried_out(
        app,
        desk,
        lambda: keys.rotate(desk.actor, desk.peppers, row.id, desk.clock(), choice.expires_on),
    )
    await _show(app, desk, created, company)


async def revoke(app: Desk, desk: Surroundings, row: KeyRow) -> None:
    """The end, once the admin has seen what it hits."""
    from tui.dialogs.revoke_key import KeyUse, RevokeKeyDialog

    impact = await desk.reader.read(lambda: keys.impact(row.id))
    zone = calendar.zone(row.zone)
    last_at = None if impact.last_used_at is None else impact.last_used_at.astimezone(zone)
    reason = await app.push_screen_wait(RevokeKeyDialog(_shown(row), KeyUse(last_at, impact.address, impact.uses)))
    if reason is not None:
        revoked = await carried_out(app, desk, lambda: keys.revoke(desk.actor, row.id, reason, desk.clock()))
        if revoked is not None:
            tell_in(app, f"{row.first}…{row.last} is revoked; it is refused from now on.")


def in_tmux() -> bool:
    """Whether a terminal multiplexer stands between."""
    return "TMUX" in os.environ


async def _show(app: Desk, desk: Surroundings, created: Created | None, company: Company) -> None:
    if created is None:
        return
    from tui.dialogs.show_key import NewKey, ShowKeyDialog

    key = created.key
    for page in app.screen_stack:
        section = getattr(page, "section", None)
        if isinstance(section, Section):
            section.wish(key.id)
    resource = await desk.reader.read(lambda: users.get(key.resource_id))
    expires = f"{key.expires_on}, the last day on which it works ({company.time_zone})"
    known = NewKey(company.name, resource.name, key.label, _environment(key.environment), expires)
    await app.push_screen_wait(ShowKeyDialog(created.secret, known, tmux=in_tmux()))
    tell_in(app, f"{key.first}…{key.last} was made; its recipients are told.")


def tell_in(app: Desk, text: str) -> None:
    """Say it on the status line of the page in front."""
    tell: Callable[[str], Awaitable[None] | None] | None = getattr(app.screen, "tell", None)
    if tell is not None:
        tell(text)


def _shown(row: KeyRow) -> "KeyShown":
    from tui.dialogs.edit_expiry import KeyShown

    return KeyShown(row.label, row.resource, row.first, row.last)


def _environment(code: str) -> Environment:
    return "prod" if code == "prod" else "sandbox" if code == "sandbox" else "all"


def _kind(row: KeyRow) -> keys.Kind:
    return "test" if row.kind == "test" else "standard"
