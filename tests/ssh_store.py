"""A set-up store with settings of its own, as the installed command and sshd find it."""

from datetime import datetime, timedelta
from pathlib import Path

from cast import OLAV, company, enable, user

from keydesk.errands import init
from keydesk.settings import load
from store import database, keys
from store.installation import Installation


def set_up_store(home: Path, now: datetime) -> Path:
    """Nordlys with a key of Åse's and Sydlys with one of Dorte's; the settings file."""
    home.mkdir(mode=0o700)
    file = home / "keydesk.toml"
    file.write_text(f'[store]\nlocation = "{home}/keydesk.db"\n[keys]\npepper_file = "{home}/pepper"\n')
    settings = load(file, {})
    init.set_up(settings, Installation(vendor="Fjord Software"), now)
    with database.session():
        nordlys, sydlys = company("nordlys", "Nordlys AS"), company("sydlys", "Sydlys ApS")
        for of, name in ((nordlys, "Åse Berg"), (sydlys, "Dorte Friis")):
            resource = user(of, name.split()[1].lower(), name)
            enable(of, resource)
            keys.create(
                OLAV,
                settings.peppers(),
                company_id=of.id,
                resource_id=resource.id,
                environment="prod",
                kind="standard",
                label=f"{of.external_id}-sync",
                expires_on=(now + timedelta(days=300)).date(),
                now=now,
            )
    return file
