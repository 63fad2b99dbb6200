"""Does the doctor say what to do about a relay with TLS that does not let this machine in?"""

import ssl
from pathlib import Path

import pytest
import trustme
from command import Home
from doctor_visit import found, relay
from smtp_server import smtp_server


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def certificate(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
def login(authority: trustme.CA, tmp_path: Path) -> dict[str, str]:
    """Settings with a password that the relay does not know."""
    password, trusted = tmp_path / "mail-password", tmp_path / "ca.pem"
    password.write_text("wr0ng\n", encoding="utf-8")
    password.chmod(0o600)
    authority.cert_pem.write_to_path(trusted)
    return {
        "KEYDESK_MAIL_TLS": "starttls",
        "KEYDESK_MAIL_USERNAME": "keys",
        "KEYDESK_MAIL_PASSWORD_FILE": str(password),
        "KEYDESK_MAIL_CA_FILE": str(trusted),
    }


def told(home: Home, port: int, settings: dict[str, str]) -> tuple[str, str]:
    return found(home, **relay(port, **settings))["mail"]


def test_a_login_that_the_relay_refuses_is_told_with_where_it_is_set(
    home: Home, certificate: ssl.SSLContext, login: dict[str, str]
) -> None:
    with smtp_server(tls="starttls", certificate=certificate, login=("keys", "s3cret")) as server:
        verdict, text = told(home, server.port, login)

    assert (verdict, text) == (
        "wrong",
        (
            f"localhost:{server.port}: 535 5.7.8 Authentication credentials invalid. That is its word about the login: "
            "see username and the password file in [mail]."
        ),
    )


def test_a_certificate_of_an_authority_of_ones_own_is_told_with_the_setting_for_it(
    home: Home, certificate: ssl.SSLContext, login: dict[str, str]
) -> None:
    with smtp_server(tls="starttls", certificate=certificate, login=("keys", "s3cret")) as server:
        verdict, text = told(home, server.port, {**login, "KEYDESK_MAIL_CA_FILE": ""})

    assert (verdict, text) == (
        "wrong",
        (
            f"localhost:{server.port}: The certificate of the mail server localhost is not trusted: unable to get "
            "local issuer certificate. Write the name that it has there as host in [mail], or who vouches for it as "
            "ca_file."
        ),
    )
