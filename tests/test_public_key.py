"""What counts as a public SSH key, and what can be hidden in one?"""

import base64
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import FormatWrong
from store.rules import public_key


def keygen(directory: Path, *arguments: str) -> str:
    file = directory / "key"
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-f", file, *arguments], check=True, timeout=60)
    return file.with_suffix(".pub").read_text()


@pytest.mark.parametrize(
    "arguments",
    [("-t", "ed25519"), ("-t", "ecdsa", "-b", "256"), ("-t", "ecdsa", "-b", "384"), ("-t", "ecdsa", "-b", "521"),
     ("-t", "rsa", "-b", "3072")],
    ids=lambda arguments: "-".join(arguments[1::2]),
)  # fmt: skip
def test_what_ssh_keygen_makes_is_taken_with_the_fingerprint_that_it_says(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    text = keygen(tmp_path, *arguments, "-C", "anna berg")

    key = public_key.parse(text)

    said = subprocess.run(
        ["ssh-keygen", "-l", "-f", tmp_path / "key.pub"], check=True, capture_output=True, text=True, timeout=10
    ).stdout
    assert key.fingerprint == said.split(" ")[1]
    assert f"{key.type} {key.blob} {key.comment}\n" == text


def test_keys_of_a_security_token_are_taken() -> None:
    ed25519 = blob("sk-ssh-ed25519@openssh.com", b"k" * 32, b"ssh:")
    ecdsa = blob("sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", b"\4" + b"k" * 64, b"ssh:keydesk")

    assert public_key.parse(f"sk-ssh-ed25519@openssh.com {ed25519}").comment == ""
    assert public_key.parse(f"sk-ecdsa-sha2-nistp256@openssh.com {ecdsa} token").comment == "token"


def blob(*fields: str | bytes) -> str:
    raw = b"".join(
        struct.pack(">I", len(field)) + field
        for field in (part.encode() if isinstance(part, str) else part for part in fields)
    )
    return base64.b64encode(raw).decode()


GOOD = blob("ssh-ed25519", b"k" * 32)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "exactly one public key"),
        (f"ssh-ed25519 {GOOD}\nssh-ed25519 {GOOD}", "these are 2 lines"),
        (f"ssh-ed25519 {GOOD} a\u2028command=id", "these are 2 lines"),
        (f'command="id" ssh-ed25519 {GOOD}', "Options stand before"),
        (f"restrict,pty ssh-ed25519 {GOOD}", "Options stand before"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", "private key"),
        (f"ssh-dss {blob('ssh-dss', b'k')}", "is not taken"),
        (f"ssh-ed25519-cert-v01@openssh.com {blob('ssh-ed25519-cert-v01@openssh.com', b'k')}", "is not taken"),
        (f"SSH-ED25519 {GOOD}", "is not taken"),
        ("ssh-ed25519", "base64 is damaged"),
        (f"ssh-ed25519 {GOOD[:-1]}", "base64 is damaged"),
        (f"ssh-ed25519 {GOOD}====", "base64 is damaged"),
        (f"ssh-ed25519 {GOOD[:8]}*{GOOD[8:]}", "base64 is damaged"),
        (f"ssh-ed25519 {blob('ssh-rsa', b'k' * 32)}", "not a sound ssh-ed25519 key"),
        (f"ssh-ed25519 {blob('ssh-ed25519', b'k' * 31)}", "not a sound ssh-ed25519 key"),
        (f"ssh-ed25519 {blob('ssh-ed25519', b'k' * 32, b'more')}", "not a sound ssh-ed25519 key"),
        (f"ssh-rsa {blob('ssh-rsa', b'')}", "not a sound ssh-rsa key"),
        (f"ssh-rsa {blob('ssh-rsa', bytes([1, 0, 1]), bytes([0x80] * 384))}", "not a sound ssh-rsa key"),
        (f"ssh-rsa {blob('ssh-rsa', bytes([1, 0, 1]), bytes([0, 0] + [0x81] * 384))}", "not a sound ssh-rsa key"),
        (f"ssh-rsa {blob('ssh-rsa', bytes([1, 0, 1]), bytes([0x7F] + [255] * 383))}", "3071 bits is too weak"),
        (f"ssh-rsa {blob('ssh-rsa', bytes([1]), bytes([0] + [255] * 384))}", "not a sound ssh-rsa key"),
        (f"ecdsa-sha2-nistp256 {blob('ecdsa-sha2-nistp256', 'nistp384', bytes([4] * 65))}", "not a sound ecdsa"),
        (f"ecdsa-sha2-nistp256 {blob('ecdsa-sha2-nistp256', 'nistp256', bytes([2] * 65))}", "not a sound ecdsa"),
        (f"sk-ssh-ed25519@openssh.com {blob('sk-ssh-ed25519@openssh.com', b'k' * 32, b'web:')}", "not a sound sk-ssh"),
        (f"ssh-ed25519 {GOOD} a\x1b[2J", "cannot be seen"),
        (f"ssh-ed25519 {GOOD} a\u202eb", "cannot be seen"),
        (f"ssh-ed25519 {GOOD} {'c' * 129}", "shorten it to at most 128"),
        (f"ssh-ed25519 {GOOD} {'c' * 9000}", "far too long"),
    ],
)
def test_what_is_not_exactly_one_sound_key_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(FormatWrong, match=sentence):
        public_key.parse(text)


def test_an_rsa_key_of_3072_bits_is_taken() -> None:
    key = blob("ssh-rsa", bytes([1, 0, 1]), bytes([0] + [255] * 384))

    assert public_key.parse(f"ssh-rsa {key}").type == "ssh-rsa"


@given(st.text() | st.text().map(lambda text: f"ssh-ed25519 {GOOD} {text}") | st.binary().map(lambda raw: raw.hex()))
def test_whatever_is_pasted_comes_out_as_one_plain_line_or_is_refused(text: str) -> None:
    try:
        key = public_key.parse(text)
    except FormatWrong:
        return

    line = f"restrict,pty {key.type} {key.blob}"
    assert line.isascii()
    assert line.isprintable()
    assert line.count(" ") == 2


@given(st.binary(max_size=80))
def test_no_bytes_inside_a_key_bring_the_parser_down(raw: bytes) -> None:
    for key_type in ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "sk-ssh-ed25519@openssh.com"):
        inside = struct.pack(">I", len(key_type)) + key_type.encode() + raw
        try:
            key = public_key.parse(f"{key_type} {base64.b64encode(inside).decode()}")
        except FormatWrong:
            continue
        assert base64.b64decode(key.blob) == inside
