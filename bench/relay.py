"""`python -m bench.relay`: a mail server on loopback that takes every mail and keeps none, as quickly as Python can.

It says its port in one line and ends with its standard input. Both sides of a comparison speak with the same one. As
every usual relay it takes commands in groups (RFC 2920), of which smtplib makes no use.
"""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parent.parent
_REPLIES: Final = {
    b"EHLO": b"250-relay\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
    b"DATA": b"354 Go on\r\n",
    b"QUIT": b"221 Bye\r\n",
}
_OK: Final = b"250 OK\r\n"


@contextmanager
def running() -> Iterator[int]:
    """Such a server in a process of its own; gives its port."""
    command = [sys.executable, "-m", "bench.relay"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT) as process:
        if process.stdout is None or process.stdin is None:
            raise AssertionError
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


def _speak(client: socket.socket) -> None:
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with suppress(OSError), client, client.makefile("rb", 65536) as heard:
        client.sendall(b"220 relay\r\n")
        while line := heard.readline():
            verb = line[:4].upper()
            client.sendall(_REPLIES.get(verb, _OK))
            if verb == b"QUIT":
                return
            if verb == b"DATA":
                while heard.readline() not in {b".\r\n", b""}:
                    pass
                client.sendall(_OK)


def main() -> None:
    """Listen until the standard input ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)

        def listen() -> None:
            while True:
                client, _ = listener.accept()
                threading.Thread(target=_speak, args=(client,), daemon=True).start()

        threading.Thread(target=listen, daemon=True).start()
        sys.stdin.read()


if __name__ == "__main__":
    main()
