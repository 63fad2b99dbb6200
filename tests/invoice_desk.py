"""The command at a store as on 23 November 2026: two licensed users, three keys since 5 October, October drafted."""

from datetime import UTC, date, datetime, timedelta

import pytest
from cast import LONG_AGO, OLAV, Cast, arrive, enable, key_of

from keydesk import command
from store import database, invoices, prices
from store.tables import Email, Licence

PRICES = {
    "price_list": [
        {
            "code": "API",
            "currency": "NOK",
            "version": 1,
            "effective_from": "2026-01-01",
            "items": {
                "access": {"model": "per_unit", "price": "25.00"},
                "extra_key": {"price": "49.00"},
                "overuse_requests": {"included_per_user": 100, "block": 500, "price": "60.00"},
            },
        }
    ]
}
ACCESS = "API Access was on for all {} days in November 2026; the highest number was 2 licensed users, on 1 November."
OCTOBER_5 = datetime(2026, 10, 5, 8, tzinfo=UTC)
NOVEMBER_1 = datetime(2026, 11, 1, 4, tzinfo=UTC)
NOVEMBER_23 = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Desk:
    """The command, called in this process."""

    def __init__(self, location: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KEYDESK_STORE_LOCATION", location)
        monkeypatch.setattr(command, "now", lambda: NOVEMBER_23)
        self.capsys = capsys

    def __call__(self, *arguments: str) -> tuple[object, str, str]:
        database.dispose()  # the command opens the store anew
        with pytest.raises(SystemExit) as end:
            command.main(arguments)
        said = self.capsys.readouterr()
        return end.value.code, said.out, said.err

    def told(self, *arguments: str) -> list[str]:
        """The lines of an answer that is no error."""
        status, out, err = self(*arguments)
        assert (status, err) == (0, "")
        return out.splitlines()

    def refused(self, *arguments: str) -> str:
        """The sentence of an error."""
        status, out, err = self(*arguments)
        assert (status, out, err.count("\n")) == (1, "", 1), err
        return err.removeprefix("keydesk: ").rstrip("\n")


def october() -> Cast:
    with database.session():
        arrived = arrive()
        Licence.update(licences=2).where(Licence.company == arrived.nordlys).execute()
        prices.publish(OLAV, PRICES, LONG_AGO)
        enable(arrived.nordlys, arrived.ase)
        for number in range(3):
            made = OCTOBER_5 + timedelta(hours=number)
            key_of(arrived.ase, label=f"erp-{number}", expires_on=date(2028, 10, 1), now=made)
        invoices.draft_month(arrived.nordlys.id, "2026-10", NOVEMBER_1)
        Email.delete().execute()
    return arrived
