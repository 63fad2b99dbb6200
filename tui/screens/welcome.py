"""The first questions of a new installation."""

from pathlib import Path

from textual.app import App

from store import importing, installation
from store.installation import Installation
from tui.dialogs.message import MessageDialog
from tui.dialogs.welcome import WelcomeDialog
from tui.screens import key_acts
from tui.surroundings import Surroundings


async def ask(app: App[None], desk: Surroundings) -> None:
    """Ask what the store must be told once, and take in the files that were named."""
    draft = await app.push_screen_wait(WelcomeDialog(time_zone="Europe/Oslo"))
    if draft is None:
        await app.push_screen_wait(
            MessageDialog(
                "The store is not set up yet, so no key can be made. Run `keydesk init`, or open the desk again."
            )
        )
        return
    settings = Installation(draft.vendor, draft.prefix, draft.time_zone)
    await key_acts.carried_out(app, desk, lambda: installation.set_up(settings, desk.clock(), desk.actor, desk.peppers))
    if draft.import_from is not None:
        files = _files(draft.import_from)
        summary = await key_acts.carried_out(app, desk, lambda: importing.take(desk.actor, files, desk.clock()))
        if summary is not None:
            await app.push_screen_wait(MessageDialog("\n".join(summary.sentences())))


def _files(path: Path) -> list[Path]:
    """The file; of a folder the CSV files, or where there are none the JSON files: one kind says it all."""
    if not path.is_dir():
        return [path]
    return sorted(path.glob("*.csv")) or sorted(path.glob("*.json"))
