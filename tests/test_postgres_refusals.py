"""What is a person told when PostgreSQL is not there, is somebody else, or lets nobody in?"""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trustme
from postgres_server import PostgresServer

from store import database
from store.database import session
from store.errors import StoreUnavailable

Handshake = Callable[[socket.socket], None]
SSL_REQUEST = 8  # bytes: the first that a client sends that wants TLS


def refusal(url: str) -> str:
    """What is said when a session is opened there."""
    database.bind(url)
    with pytest.raises(StoreUnavailable) as refused, session():
        pass
    return str(refused.value).replace(url, "URL")


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def answering(authority: trustme.CA, tmp_path: Path) -> Iterator[Callable[[Handshake], str]]:
    """The URL of a server that begins as PostgreSQL does, and ends each connection after that."""
    listener = socket.create_server(("127.0.0.1", 0))
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(file)

    def serve(handshake: Handshake) -> str:
        def answer() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:  # it was closed
                    return
                with client:
                    client.recv(SSL_REQUEST)
                    handshake(client)

        threading.Thread(target=answer, daemon=True).start()
        port = listener.getsockname()[1]
        return f"postgresql://keydesk@localhost:{port}/keydesk?sslmode=verify-full&sslrootcert={file}"

    yield serve
    listener.close()


def without_tls(client: socket.socket) -> None:
    client.sendall(b"N")


def with_certificate(authority: trustme.CA, name: str) -> Handshake:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)

    def handshake(client: socket.socket) -> None:
        client.sendall(b"S")
        with suppress(OSError), context.wrap_socket(client, server_side=True):  # the client goes away
            pass

    return handshake


def test_a_host_that_nobody_knows_is_named_as_such() -> None:
    assert refusal("postgresql://keydesk@nothere.invalid/keydesk?sslmode=verify-full") == (
        "No machine is known by the host's name in URL. Check the name, and whether DNS can be reached."
    )


def test_a_server_without_tls_is_told_from_one_that_is_not_there(answering: Callable[[Handshake], str]) -> None:
    assert refusal(answering(without_tls)) == (
        "PostgreSQL at URL offers no TLS, which `sslmode` demands. Set `ssl = on` in its postgresql.conf."
    )


def test_a_certificate_for_another_name_is_told(answering: Callable[[Handshake], str], authority: trustme.CA) -> None:
    assert refusal(answering(with_certificate(authority, "elsewhere.example"))) == (
        "The certificate of PostgreSQL at URL is for another name. Name the host as its certificate does."
    )


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(answering: Callable[[Handshake], str]) -> None:
    assert refusal(answering(with_certificate(trustme.CA(), "localhost"))) == (
        "The certificate of PostgreSQL at URL could not be verified. Check sslmode and sslrootcert."
    )


def test_a_login_that_may_not_log_in_is_told(postgres: PostgresServer) -> None:
    postgres.sql("CREATE ROLE idle NOLOGIN")
    url = postgres.url("postgres").replace("keydesk@", "idle@")

    said = refusal(url)
    postgres.sql("DROP ROLE idle")

    assert said == "PostgreSQL refused the login for URL. Check the user and the password file."


def test_a_server_that_lets_nobody_in_from_here_is_told(postgres: PostgresServer) -> None:
    (file,) = postgres.sql("SHOW hba_file")[0]
    hba = Path(str(file))
    allowed = hba.read_text(encoding="utf-8")
    hba.write_text("local all stranger reject\n" + allowed, encoding="utf-8")
    postgres.sql("SELECT pg_reload_conf()")
    url = postgres.url("postgres").replace("keydesk@", "stranger@")
    try:
        said = refusal(url)
    finally:
        hba.write_text(allowed, encoding="utf-8")
        postgres.sql("SELECT pg_reload_conf()")

    assert said == (
        "PostgreSQL at URL lets this user in from nowhere, or not from this machine. "
        "Add a line for it to pg_hba.conf and reload."
    )


def test_what_nobody_has_foreseen_is_told_in_the_server_s_own_words(answering: Callable[[Handshake], str]) -> None:
    def nonsense(client: socket.socket) -> None:
        client.sendall(b"X")

    assert refusal(answering(nonsense)) == (
        "PostgreSQL at URL cannot be connected to: received invalid response to SSL negotiation: X"
    )
