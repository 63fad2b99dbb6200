"""Is everything as if nothing had been, wherever a process is killed, once Keydesk is started again?

Each act is killed with -9 at its fault points, one after the other (torture/crash_points.py). This is the short form;
`make torture` kills every act before every statement.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from torture import crash_points
from torture.acts import NOW, Letterbox, by_person, unless
from torture.crash_points import Result, Scenario, World
from torture.every_scenario import SHORT
from torture.scenarios import mailing, one_company
from torture.stores import PostgresStores, SqliteStores, Stores

from jobs.delivery import Sender
from jobs.queues import Queue, mails
from jobs.smtp_answers import Delivered
from jobs.smtp_session import Conversation
from store.database import writing
from store.tables import Key

if TYPE_CHECKING:
    from postgres_server import PostgresServer

# A database is copied for each kill; what goes side by side is killed in a file, what goes alone on a server.
SLOW = {
    ("make an installation", "postgresql"),
    ("hand over mails side by side", "postgresql"),
    ("hand over mails", "sqlite"),
}
CASES = [
    pytest.param(each, backend, id=f"{each.name.replace(' ', '-')}-{backend}")
    for each in (*SHORT, mailing())
    for backend in each.backends
    if (each.name, backend) not in SLOW
]


@pytest.fixture(params=["sqlite", "postgresql"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    if request.param == "sqlite":
        return SqliteStores(request.getfixturevalue("sqlite_template"), tmp_path / "prepared")
    server: PostgresServer = request.getfixturevalue("postgres")
    return PostgresStores(server, "template_keydesk")


def tried(scenario: Scenario, stores: Stores, folder: Path) -> Result:
    (result,) = crash_points.run([scenario], [stores], folder / "world", short=True)
    return result


@pytest.mark.parametrize(("scenario", "stores"), CASES, indirect=["stores"])
def test_killed_anywhere_and_started_again_it_leaves_what_an_undisturbed_run_leaves(
    scenario: Scenario, stores: Stores, tmp_path: Path
) -> None:
    result = tried(scenario, stores, tmp_path)

    assert result.differences == []
    assert result.points >= 8
    assert result.killed >= 2
    assert result.remains >= 2  # before and after at least


def test_a_change_that_took_two_transactions_would_be_found(stores: Stores, tmp_path: Path) -> None:
    def revoke(_world: World) -> None:
        with writing():
            Key.update(revoked_at=NOW).execute()
        with writing():
            Key.update(revoked_by="olav", revoked_reason="no longer used").execute()

    def is_done() -> bool:
        return Key.select().where(Key.revoked_by == "olav").exists()

    torn = Scenario("torn", one_company, by_person(revoke), unless(is_done, revoke), {"api_key": 1}, in_one_step=True)

    (told, *_) = tried(torn, stores, tmp_path).differences

    assert told.startswith(f"torn on {stores.backend}, killed at ")
    assert told.endswith(": half of it was kept")


def recorded_after_the_body(steps: Conversation) -> Conversation:
    for _ in steps:
        pass
    yield "asked"
    return Delivered("250 taken")


def recorded_without_a_body(_steps: Conversation) -> Conversation:
    yield "asked"
    return Delivered("250 taken")


@pytest.mark.parametrize(
    ("careless", "found"),
    [
        (recorded_after_the_body, "arrived 2 times and is sent after 0 resends"),
        (recorded_without_a_body, "arrived 0 times"),
    ],
)
def test_a_hand_over_that_is_recorded_too_late_and_a_mail_that_is_lost_would_be_found(
    sqlite_template: Path,
    tmp_path: Path,
    careless: Callable[[Conversation], Conversation],
    found: str,
) -> None:
    class Careless(Letterbox):
        def hand_over(self, sender: str, recipient: str, raw: bytes) -> Conversation:
            return careless(super().hand_over(sender, recipient, raw))

    def queues(world: World) -> dict[str, Queue]:
        @contextmanager
        def session() -> Iterator[Letterbox]:
            yield Careless(world)

        return {"mail": mails(session, Sender("keys@fjord.example", "help@fjord.example"))}

    stores = SqliteStores(sqlite_template, tmp_path / "prepared")
    result = tried(replace(mailing(queues), name="careless"), stores, tmp_path)

    assert any(found in each for each in result.differences), result.differences
