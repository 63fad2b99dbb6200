"""What a machine's owner decides: where the store is, how mail leaves, what refreshes a sandbox.

One TOML file and environment variables (`KEYDESK_MAIL_HOST` is `host` in `[mail]`); a variable wins over the file. A
name that is not known is refused, so that a slip of the pen is not silently ignored. Secrets stand in neither: they are
files of mode 0600, or systemd credentials.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import platformdirs

from store.errors import FormatWrong, SettingsWrong
from store.peppers import Peppers, read_secret
from store.peppers import load as load_peppers
from store.rules import addresses

TLS_MODES: Final = ("implicit", "starttls", "none")
_HEADER: Final = re.compile(r"(?=.{1,50}\Z)[A-Za-z](?:-?[A-Za-z0-9]+)*", re.ASCII)
# What a mail has otherwise, or gets on its way.
_HEADERS_OF_MAILS: Final = re.compile(
    r"from|to|cc|bcc|sender|reply-to|subject|date|message-id|in-reply-to|references|received|return-path|auto-submitted"
    r"|mime-version|(?:content|list|resent|dkim|arc|x-keydesk|x-auto)-.*",
    re.IGNORECASE,
)


def _said(text: str, **options: Any) -> Any:
    """A setting with the sentence that explains it in the documentation."""
    return field(metadata={"text": text}, **options)


@dataclass(frozen=True)
class StoreSettings:
    """Where the store is."""

    location: str = _said("A file's path, or postgresql://user@host/name?sslmode=verify-full", default="")
    password_file: str = _said("The file with PostgreSQL's password", default="")
    lock_wait_seconds: int = _said("How long a change waits while another program writes, from 1 to 60", default=10)
    sent_record: str = _said("The file that remembers what was mailed, should an older store be restored", default="")


@dataclass(frozen=True)
class KeySettings:
    """How keys are kept."""

    pepper_file: str = _said("The file with the peppers; back it up apart from the store", default="")


@dataclass(frozen=True)
class MailSettings:
    """How mail leaves. Without a host it stays in the outbox."""

    host: str = _said("The relay's name", default="")
    port: int = _said("Its port: 587 for starttls, 465 for implicit", default=587)
    tls: str = _said("implicit, starttls, or none (a relay on this machine only)", default="starttls")
    username: str = _said("The login at the relay, when it asks for one", default="")
    password_file: str = _said("The file with the relay's password", default="")
    ca_file: str = _said("Certificates to trust instead of the system's", default="")
    sender: str = _said("The From address, read by somebody", default="")
    reply_to: str = _said("Where answers go; the sender when empty", default="")
    per_minute: int = _said("The most mails a minute, of all workers together; 0: no limit", default=0)
    connections: int = _said("How many of them a worker hands over side by side, from 1 to 10", default=4)
    idempotency_header: str = _said(
        "Of a relay that takes mails of one key once, the header it looks in, such as Resend-Idempotency-Key",
        default="",
    )


@dataclass(frozen=True)
class SandboxSettings:
    """How sandboxes are refreshed."""

    command: tuple[str, ...] = _said("What refreshes one company: program and arguments; no shell", default=())
    timeout_minutes: int = _said("How long it may take", default=60)


@dataclass(frozen=True)
class DeskSettings:
    """What the desk allows."""

    read_only: bool = _said("Show everything, change nothing", default=False)


@dataclass(frozen=True)
class SellerSettings:
    """Who invoices, as e-invoices and accounting files say it."""

    name: str = _said("The registered name", default="")
    organisation_number: str = _said("The number in the country's register of companies", default="")
    vat_id: str = _said("The VAT number, such as NO987654325MVA", default="")
    endpoint: str = _said("Where e-invoices come from: scheme and number, such as 0192:987654325", default="")
    street: str = _said("Street and number", default="")
    city: str = _said("City", default="")
    postal_code: str = _said("Postal code", default="")
    country: str = _said("Two capital letters, such as NO", default="")
    email: str = _said("Who answers questions about an invoice", default="")
    account: str = _said("Where to pay: an IBAN, or the account in the country's own form", default="")
    bank: str = _said("The bank's BIC; SE:BANKGIRO or SE:PLUSGIRO for a Swedish giro number", default="")
    payment_days: int = _said("Days from the invoice's date until it is due", default=14)
    tax_registration: str = _said(
        "Words that the law asks for: Foretaksregisteret (NO), Godkänd för F-skatt (SE)", default=""
    )


@dataclass(frozen=True)
class SieSettings:
    """Where Swedish accounting books what is invoiced."""

    receivable_account: str = _said("What customers owe", default="1510")
    access_account: str = _said("Sales of API access", default="3041")
    key_account: str = _said("Sales of extra keys and extra test keys", default="3042")
    overuse_account: str = _said("Sales of usage above what is included", default="3043")
    vat_account: str = _said("VAT that is owed", default="2611")
    without_vat_account: str = _said("Sales without VAT, all of them; without it, such a sale is refused", default="")
    chart: str = _said("The chart of accounts, as SIE names it", default="EUBAS97")
    series: str = _said("The series of vouchers; the accounting program gives the numbers", default="")


@dataclass(frozen=True)
class Settings:
    """All of it. `source` is the file that was read, None when there was none."""

    store: StoreSettings = field(default_factory=StoreSettings)
    keys: KeySettings = field(default_factory=KeySettings)
    mail: MailSettings = field(default_factory=MailSettings)
    sandbox: SandboxSettings = field(default_factory=SandboxSettings)
    desk: DeskSettings = field(default_factory=DeskSettings)
    seller: SellerSettings = field(default_factory=SellerSettings)
    seller_sie: SieSettings = field(default_factory=SieSettings)
    source: Path | None = None
    credentials: Path | None = None  # systemd's credentials directory

    def peppers(self) -> Peppers:
        """The peppers of this installation; SettingsWrong says what is wrong with their file."""
        return load_peppers(self._secret(self.keys.pepper_file, "keydesk.pepper") or default_pepper_file())

    def pepper_path(self) -> Path:
        """Where the peppers are, or will be made."""
        return self._secret(self.keys.pepper_file, "keydesk.pepper") or default_pepper_file()

    def store_password(self) -> str | None:
        """PostgreSQL's password, None when it asks for none."""
        return self._password(self.store.password_file, "keydesk.store-password", "PostgreSQL password file")

    def mail_password(self) -> str | None:
        """The relay's password, None when it asks for none."""
        return self._password(self.mail.password_file, "keydesk.mail-password", "mail password file")

    def store_location(self) -> str:
        """The store as configured, or the user's own file."""
        return self.store.location or str(default_store())

    def _secret(self, named: str, credential: str) -> Path | None:
        if named:
            return Path(named).expanduser()
        offered = self.credentials / credential if self.credentials else None
        return offered if offered is not None and offered.exists() else None

    def _password(self, named: str, credential: str, what: str) -> str | None:
        path = self._secret(named, credential)
        if path is None:
            return None
        return read_secret(path, what, "Write the password into it, with mode 0600.").rstrip("\r\n")


SECTIONS: Final[Mapping[str, type]] = MappingProxyType(
    {
        "store": StoreSettings,
        "keys": KeySettings,
        "mail": MailSettings,
        "sandbox": SandboxSettings,
        "desk": DeskSettings,
        "seller": SellerSettings,
        "seller.sie": SieSettings,
    }
)
# Read by the command itself, not settings of a section.
_OWN_VARIABLES: Final = frozenset({"KEYDESK_SETTINGS"})


def load(path: Path | None, environment: Mapping[str, str]) -> Settings:
    """Read the file (by default the user's own, which may be missing) and the environment. Raises SettingsWrong."""
    named = path or (Path(environment["KEYDESK_SETTINGS"]) if environment.get("KEYDESK_SETTINGS") else None)
    source = named or default_file()
    text = _text_of(source, must_exist=named is not None)
    values = _read(source, text)
    for name in sorted(environment):
        if name.startswith("KEYDESK_") and name not in _OWN_VARIABLES:
            section, setting = _section_of(name)
            values.setdefault(section, {})[setting] = _from_text(section, setting, environment[name], name)

    def place(section: str, setting: str) -> str:
        variable = _variable_of(section, setting)
        if variable in environment:
            return f"The environment variable {variable}"
        return f"{source}:{_line_of(text, setting, section)}: [{section}] {setting}"

    settings = Settings(
        **{section.replace(".", "_"): SECTIONS[section](**given) for section, given in values.items()},
        source=source if source.exists() else None,
        credentials=Path(environment["CREDENTIALS_DIRECTORY"]) if environment.get("CREDENTIALS_DIRECTORY") else None,
    )
    return _checked(settings, place)


def default_file() -> Path:
    """The user's own settings file."""
    return Path(platformdirs.user_config_dir("keydesk")) / "keydesk.toml"


def default_store() -> Path:
    """The user's own store."""
    return Path(platformdirs.user_data_dir("keydesk")) / "keydesk.db"


def default_pepper_file() -> Path:
    """Where the user's own pepper is kept: apart from the store, so that a copy of one is not a copy of both."""
    return Path(platformdirs.user_config_dir("keydesk")) / "keydesk.pepper"


def _text_of(path: Path, *, must_exist: bool) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if must_exist:
            raise SettingsWrong(
                f"The settings file {path} is not there. Name another, or run `keydesk init`."
            ) from None
        return ""
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsWrong(f"The settings file {path} cannot be read ({why}).") from None


def _read(path: Path, text: str) -> dict[str, dict[str, Any]]:
    try:
        read = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsWrong(f"The settings file {path} is not TOML: {error}.") from None
    values: dict[str, dict[str, Any]] = {}
    for section, given in _sections(read):
        line = _line_of(text, section)
        if section not in SECTIONS or not isinstance(given, dict):
            raise SettingsWrong(f"{path}:{line}: there is no section [{section}]{_near(section, SECTIONS)}")
        known = {setting.name: setting for setting in fields(SECTIONS[section])}
        values[section] = {}
        for name, value in given.items():
            where = f"{path}:{_line_of(text, name, section)}"
            if name not in known:
                raise SettingsWrong(f"{where}: [{section}] has no setting {name!r}{_near(name, known)}")
            values[section][name] = _typed(value, known[name].default, where, name)
    return values


def _sections(read: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each table by its name; one within another, such as [seller.sie], is a section of its own."""
    for name, given in read.items():
        inner = {key for key in given if f"{name}.{key}" in SECTIONS} if isinstance(given, dict) else set()
        yield name, {key: value for key, value in given.items() if key not in inner} if inner else given
        yield from ((f"{name}.{key}", given[key]) for key in sorted(inner))


def _typed(value: Any, default: Any, where: str, name: str) -> Any:
    if isinstance(default, tuple):
        if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
            raise SettingsWrong(f'{where}: {name} must be a list of texts, like ["refresh", "--fast"].')
        return tuple(value)
    if type(value) is not type(default):
        expected = {str: "a text in quotes", int: "a whole number", bool: "true or false"}[type(default)]
        raise SettingsWrong(f"{where}: {name} must be {expected}.")
    return value


def _section_of(variable: str) -> tuple[str, str]:
    known = {
        _variable_of(section, setting.name): (section, setting.name)
        for section, kind in SECTIONS.items()
        for setting in fields(kind)
    }
    if variable not in known:
        raise SettingsWrong(
            f"The environment variable {variable} is no setting of Keydesk{_near_variable(variable, known)}"
        )
    return known[variable]


def _variable_of(section: str, setting: str) -> str:
    return f"KEYDESK_{section.replace('.', '_')}_{setting}".upper()


def _from_text(section: str, name: str, text: str, variable: str) -> Any:
    default = next(setting.default for setting in fields(SECTIONS[section]) if setting.name == name)
    read: dict[type, Callable[[str], Any]] = {
        bool: {"true": True, "false": False}.__getitem__,
        int: int,
        tuple: lambda given: tuple(given.split()),
        str: str,
    }
    try:
        return read[type(default)](text)
    except (KeyError, ValueError):
        expected = "a whole number" if type(default) is int else "true or false"
        raise SettingsWrong(f"The environment variable {variable} must be {expected}.") from None


def _checked(settings: Settings, place: Callable[[str, str], str]) -> Settings:
    """The settings as they are used. `place` says where one of them stands."""
    mail = _with_addresses(_checked_mail(settings.mail, place), place)
    if not 0 < settings.store.lock_wait_seconds <= 60:  # a tick that waits longer would look frozen to systemd
        raise SettingsWrong(f"{place('store', 'lock_wait_seconds')} must be from 1 to 60.")
    if settings.sandbox.timeout_minutes < 1:
        raise SettingsWrong(f"{place('sandbox', 'timeout_minutes')} must be at least 1.")
    if not 0 <= settings.seller.payment_days <= 366:
        raise SettingsWrong(f"{place('seller', 'payment_days')} must be from 0 to 366.")
    for setting in fields(SieSettings):
        value = getattr(settings.seller_sie, setting.name)
        if setting.name.endswith("_account") and not re.fullmatch("[0-9]*", value):
            raise SettingsWrong(f"{place('seller.sie', setting.name)} must be the digits of an account, such as 3041.")
        if setting.name in {"chart", "series"} and not re.fullmatch(r"[0-9A-Za-z]*", value, re.ASCII):
            raise SettingsWrong(f"{place('seller.sie', setting.name)} must be letters and digits only.")
    return replace(settings, mail=mail)


def _checked_mail(mail: MailSettings, place: Callable[[str, str], str]) -> MailSettings:
    if mail.tls not in TLS_MODES:
        raise SettingsWrong(f"{place('mail', 'tls')} must be one of {', '.join(TLS_MODES)}.")
    if not 0 < mail.port < 65536:
        raise SettingsWrong(f"{place('mail', 'port')} must be from 1 to 65535.")
    if mail.host and not mail.sender:
        raise SettingsWrong(f"{place('mail', 'host')} needs a sender beside it, the address that mails come from.")
    if mail.per_minute < 0:
        raise SettingsWrong(f"{place('mail', 'per_minute')} must be 0 (no limit) or more.")
    if not 1 <= mail.connections <= 10:
        raise SettingsWrong(f"{place('mail', 'connections')} must be from 1 to 10.")
    header = mail.idempotency_header
    if header and (not _HEADER.fullmatch(header) or _HEADERS_OF_MAILS.fullmatch(header)):
        raise SettingsWrong(
            f"{place('mail', 'idempotency_header')} must be a header's name, such as Resend-Idempotency-Key, and none "
            "that mails have otherwise."
        )
    return mail


def _with_addresses(mail: MailSettings, place: Callable[[str, str], str]) -> MailSettings:
    """With its addresses as mail servers are told them."""
    found = {}
    for name in ("sender", "reply_to"):
        given = getattr(mail, name)
        try:
            found[name] = addresses.for_servers(given) if given else ""
        except FormatWrong as wrong:
            raise SettingsWrong(f"{place('mail', name)}: {wrong}") from None
    return replace(mail, sender=found["sender"], reply_to=found["reply_to"] or found["sender"])


def _near(word: str, known: Mapping[str, Any]) -> str:
    """The end of a sentence about a name that is not known: what may be meant."""
    close = get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}." if len(known) < 10 else "."


def _near_variable(variable: str, known: Mapping[str, Any]) -> str:
    """The same for a variable: that names begin alike, with KEYDESK_ and their section, brings none of them nearer."""
    sections = (f"KEYDESK_{section.replace('.', '_')}_".upper() for section in sorted(SECTIONS, key=len, reverse=True))
    start = next((section for section in sections if variable.startswith(section)), "KEYDESK_")
    ends = {name.removeprefix(start) for name in known if name.startswith(start)}
    close = get_close_matches(variable.removeprefix(start), ends, n=1)
    return f"; did you mean {start}{close[0]}?" if close else "."


def _line_of(text: str, name: str, section: str | None = None) -> int:
    """The line where the name stands, for a person to find it; 1 when TOML wrote it in some unusual way."""
    inside, written = section is None, re.compile(rf"""\[?\s*["']?{re.escape(name)}["']?\s*[]=.]""")
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if section is not None and bare.startswith("["):
            inside = bare.startswith(f"[{section}]")
        if inside and written.match(bare):
            return number
    return 1
