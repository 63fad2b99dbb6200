"""Telling systemd how the worker is: ready, alive, stopping. Without systemd it says nothing."""

import os
import socket


def notify(state: str) -> bool:
    """Send one message such as `READY=1` (newlines separate several); False when nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
        try:
            connection.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)
        except OSError:
            return False
    return True
