"""What may a settings file say, and what is said when it is wrong?"""

import stat
from dataclasses import fields
from pathlib import Path

import pytest

from keydesk import settings
from store import peppers
from store.errors import Refused, SettingsWrong


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keydesk.toml"


def test_without_a_file_and_variables_everything_has_its_default(tmp_path: Path) -> None:
    read = settings.load(None, {})

    assert (read.mail.port, read.mail.tls, read.sandbox.timeout_minutes, read.desk.read_only) == (
        587,
        "starttls",
        60,
        False,
    )
    assert read.store_location().endswith("/keydesk/keydesk.db")


def test_the_file_is_read_and_a_variable_wins_over_it(file: Path) -> None:
    file.write_text('[mail]\nhost = "relay.example"\nsender = "keys@example.com"\nport = 25\n', encoding="utf-8")

    read = settings.load(file, {"KEYDESK_MAIL_PORT": "2525", "KEYDESK_DESK_READ_ONLY": "true", "HOME": "/home/kim"})

    assert (read.mail.host, read.mail.port, read.mail.reply_to) == ("relay.example", 2525, "keys@example.com")
    assert read.desk.read_only is True


def test_addresses_of_the_vendor_are_used_as_mail_servers_are_told_them() -> None:
    addresses = {"KEYDESK_MAIL_SENDER": " keys@blåbær.no ", "KEYDESK_MAIL_REPLY_TO": "Help+Desk@Example.com"}

    mail = settings.load(None, addresses).mail

    assert (mail.sender, mail.reply_to) == ("keys@xn--blbr-roah.no", "Help+Desk@example.com")


def test_a_section_within_another_is_read_from_the_file_and_from_variables(file: Path) -> None:
    file.write_text('[seller]\nname = "Fjord AS"\n[seller.sie]\nvat_account = "2610"\n', encoding="utf-8")

    read = settings.load(file, {"KEYDESK_SELLER_SIE_SERIES": "K", "KEYDESK_SELLER_PAYMENT_DAYS": "30"})

    assert (read.seller.name, read.seller.payment_days) == ("Fjord AS", 30)
    assert (read.seller_sie.vat_account, read.seller_sie.series, read.seller_sie.chart) == ("2610", "K", "EUBAS97")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[mail]\nhots = "x"\n', "keydesk.toml:2: [mail] has no setting 'hots'; did you mean host?"),
        ('\n[mial]\nhost = "x"\n', "keydesk.toml:2: there is no section [mial]; did you mean mail?"),
        ('[mail]\nport = "587"\n', "keydesk.toml:2: port must be a whole number."),
        ("[desk]\nread_only = 1\n", "keydesk.toml:2: read_only must be true or false."),
        ('[sandbox]\ncommand = "refresh --fast"\n', "keydesk.toml:2: command must be a list of texts"),
        ('[mail]\nhost = "relay.example"\n', "keydesk.toml:2: [mail] host needs a sender beside it, the address "),
        ('[mail]\ntls = "maybe"\n', "keydesk.toml:2: [mail] tls must be one of implicit, starttls, none."),
        ("[mail]\nport = 0\n", "keydesk.toml:2: [mail] port must be from 1 to 65535."),
        (
            '[mail]\nhost = "relay.example"\nsender = "nope"\n',
            "keydesk.toml:3: [mail] sender: “nope” is not an email address that can be used: ",
        ),
        ('[mail]\nsender = "Keys <keys@example.com>"\n', "keydesk.toml:2: [mail] sender: “Keys <keys@example.com>” is"),
        ('[mail]\nsender = "keys@localhost"\n', "keydesk.toml:2: [mail] sender: “keys@localhost” is not an email"),
        ('[mail]\nsender = "k@a.no"\nreply_to = "me"\n', "keydesk.toml:3: [mail] reply_to: “me” is not an email"),
        ("[mail\n", "is not TOML"),
        ("[mail]\nper_minute = -1\n", "keydesk.toml:2: [mail] per_minute must be 0 (no limit) or more."),
        ("[mail]\nconnections = 0\n", "keydesk.toml:2: [mail] connections must be from 1 to 10."),
        ("[mail]\nconnections = 11\n", "keydesk.toml:2: [mail] connections must be from 1 to 10."),
        (
            '[mail]\nidempotency_header = "X Key"\n',
            "keydesk.toml:2: [mail] idempotency_header must be a header's name, such as Resend-",
        ),
        (
            '[mail]\nidempotency_header = "bcc"\n',
            "keydesk.toml:2: [mail] idempotency_header must be a header's name, such as Resend-",
        ),
        ('[mail]\nidempotency_header = "Content-Type"\n', "and none that mails have otherwise."),
        ('[seller]\nvat = "x"\n', "keydesk.toml:2: [seller] has no setting 'vat'; did you mean vat_id?"),
        ("[seller.sie]\nvat_accounts = 1\n", "keydesk.toml:2: [seller.sie] has no setting 'vat_accounts'; did you"),
        ('[seller.sei]\nchart = "x"\n', "keydesk.toml:1: [seller] has no setting 'sei'"),
        (
            '[seller.sie]\nvat_account = "26 11"\n',
            "keydesk.toml:2: [seller.sie] vat_account must be the digits of an account",
        ),
        ('[seller.sie]\nchart = "BAS 97"\n', "keydesk.toml:2: [seller.sie] chart must be letters and digits only."),
        ("[seller]\npayment_days = -1\n", "keydesk.toml:2: [seller] payment_days must be from 0 to 366."),
        (
            "[sandbox]\n# in minutes\n\ntimeout_minutes=0\n",
            "keydesk.toml:4: [sandbox] timeout_minutes must be at least 1.",
        ),
        ("[mail]\nport = 25\n[store]\nlock_wait_seconds = 61\n", "keydesk.toml:4: [store] lock_wait_seconds must be"),
        ('[seller]\nname = "x"\n[seller.sie]\nseries = "Å"\n', "keydesk.toml:4: [seller.sie] series must be letters"),
        ('[store]\npassword = "hunter2"\n', "[store] has no setting 'password'; did you mean password_file?"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(file: Path, text: str, sentence: str) -> None:
    file.write_text(text, encoding="utf-8")

    with pytest.raises(SettingsWrong) as refusal:
        settings.load(file, {})

    assert sentence in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"KEYDESK_MAIL_HOTS": "x"}, "KEYDESK_MAIL_HOTS is no setting of Keydesk; did you mean KEYDESK_MAIL_HOST?"),
        ({"KEYDESK_MIAL_HOST": "x"}, "KEYDESK_MIAL_HOST is no setting of Keydesk; did you mean KEYDESK_MAIL_HOST?"),
        ({"KEYDESK_SELLER_SIE_VAT_ACCONT": "1"}, "; did you mean KEYDESK_SELLER_SIE_VAT_ACCOUNT?"),
        ({"KEYDESK_FOO": "1"}, "The environment variable KEYDESK_FOO is no setting of Keydesk."),
        ({"KEYDESK_MAIL_FOO": "1"}, "The environment variable KEYDESK_MAIL_FOO is no setting of Keydesk."),
        ({"KEYDESK_STORE_PEPPER": "x"}, "The environment variable KEYDESK_STORE_PEPPER is no setting of Keydesk."),
        ({"KEYDESK_MAIL_PORT": "many"}, "KEYDESK_MAIL_PORT must be a whole number."),
        (
            {"KEYDESK_MAIL_SENDER": "nope"},
            "The environment variable KEYDESK_MAIL_SENDER: “nope” is not an email address that can be used: ",
        ),
        ({"KEYDESK_MAIL_PORT": "0"}, "The environment variable KEYDESK_MAIL_PORT must be from 1 to 65535."),
        ({"KEYDESK_SELLER_SIE_CHART": "ÅÄÖ"}, "The environment variable KEYDESK_SELLER_SIE_CHART must be letters"),
        ({"KEYDESK_DESK_READ_ONLY": "yes"}, "KEYDESK_DESK_READ_ONLY must be true or false."),
        ({"KEYDESK_SETTINGS": "/nowhere/keydesk.toml"}, "The settings file /nowhere/keydesk.toml is not there."),
    ],
)
def test_a_wrong_variable_is_named(variables: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsWrong) as refusal:
        settings.load(None, variables)

    assert sentence in str(refusal.value)


def test_every_setting_is_in_the_documentation() -> None:
    page = (Path(__file__).parent.parent / "docs" / "settings.md").read_text(encoding="utf-8")

    missing = [
        f"[{section}] {setting.name}"
        for section, kind in settings.SECTIONS.items()
        for setting in fields(kind)
        if f"`{setting.name}` |" not in page.partition(f"## [{section}]")[2].partition("## [")[0]
    ]
    assert missing == []


def test_a_new_pepper_is_private_random_and_never_overwritten(tmp_path: Path) -> None:
    one, other = peppers.make(tmp_path / "a" / "one.pepper"), peppers.make(tmp_path / "other.pepper")

    assert stat.S_IMODE((tmp_path / "a" / "one.pepper").stat().st_mode) == 0o600
    assert one.secrets[1] != other.secrets[1]
    assert len(one.secrets[1]) == 32
    assert one.secrets[1].hex() not in repr(one)
    with pytest.raises(Refused, match="There is a pepper file already"):
        peppers.make(tmp_path / "other.pepper")


@pytest.mark.parametrize(
    ("text", "mode", "sentence"),
    [
        ("1:" + "ab" * 32, 0o640, "can be read by others (mode 0640). Run `chmod 600"),
        ("1:" + "ab" * 32, 0o604, "can be read by others (mode 0604)"),
        ("secret", 0o600, ":1 is not a pepper"),
        ("", 0o600, "is empty; restore it"),
        ("1:" + "ab" * 32 + "\n2:zz", 0o600, ":2 is not a pepper"),
        (f"1:{'ab' * 32}\n2:{'ac' * 32}\n2:{'ad' * 32}", 0o600, ":3 is a second pepper of version 2"),
        (f"1:{'ab' * 32}\n1:{'ab' * 32}", 0o600, ":2 is a second pepper of version 1"),
    ],
)
def test_a_pepper_file_that_is_wrong_is_refused_without_being_shown(
    tmp_path: Path, text: str, mode: int, sentence: str
) -> None:
    path = tmp_path / "keydesk.pepper"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)

    with pytest.raises(SettingsWrong) as refusal:
        peppers.load(path)

    assert sentence in str(refusal.value)
    assert "abab" not in str(refusal.value)


def test_a_directory_in_the_place_of_a_secret_is_named(tmp_path: Path) -> None:
    read = settings.load(None, {"KEYDESK_MAIL_PASSWORD_FILE": str(tmp_path), "KEYDESK_KEYS_PEPPER_FILE": str(tmp_path)})

    with pytest.raises(SettingsWrong) as pepper:
        read.peppers()
    with pytest.raises(SettingsWrong) as password:
        read.mail_password()

    assert str(pepper.value) == f"The pepper file {tmp_path} is a directory; name the file itself."
    assert str(password.value) == f"The mail password file {tmp_path} is a directory; name the file itself."


def test_a_missing_pepper_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsWrong, match=r"is not there\. Restore it from where you keep it, or run `keydesk init`"):
        peppers.load(tmp_path / "gone.pepper")


def test_secrets_may_come_as_systemd_credentials(tmp_path: Path) -> None:
    peppers.make(tmp_path / "keydesk.pepper")
    (tmp_path / "keydesk.mail-password").touch(mode=0o600)
    (tmp_path / "keydesk.mail-password").write_text("hunter2\n", encoding="utf-8")

    read = settings.load(None, {"CREDENTIALS_DIRECTORY": str(tmp_path)})

    assert read.mail_password() == "hunter2"
    assert read.peppers().current == 1


def test_a_secret_is_never_read_from_a_file_that_others_can_read(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("hunter2", encoding="utf-8")
    secret.chmod(0o644)

    read = settings.load(None, {"KEYDESK_STORE_PASSWORD_FILE": str(secret)})

    with pytest.raises(SettingsWrong, match="can be read by others") as refusal:
        read.store_password()
    assert "hunter2" not in str(refusal.value)
