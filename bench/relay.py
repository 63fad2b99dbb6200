"""`python -m bench.relay KIND`: a mail server on loopback that takes every mail and keeps none.

It says its port in one line and ends with its standard input. Both sides of a comparison speak with the same one.
`aiosmtpd` is the library that mail is tried out with. Our own is as quick as Python can be; as every usual relay it
takes commands in groups (RFC 2920), of which smtplib makes no use. Its kind is a number: so many milliseconds it takes
to answer to a body, as one does that first writes it to its disk, or that is not in the same house.
"""

import asyncio
import socket
import subprocess
import sys
import threading
import time
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
def running(kind: str) -> Iterator[int]:
    """Such a server in a process of its own; gives its port."""
    command = [sys.executable, "-m", "bench.relay", kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT) as process:
        if process.stdout is None or process.stdin is None:
            raise AssertionError
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


def _speak(client: socket.socket, milliseconds: int) -> None:
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
                time.sleep(milliseconds / 1000)
                client.sendall(_OK)


class _Taken:
    """What aiosmtpd asks about each mail."""

    async def handle_DATA(self, _server: object, _session: object, _envelope: object) -> str:  # noqa: N802 - its name
        return "250 OK"


async def _library() -> None:
    from aiosmtpd.smtp import SMTP

    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(_Taken(), hostname="relay"), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def _own(milliseconds: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)

        def listen() -> None:
            while True:
                client, _ = listener.accept()
                threading.Thread(target=_speak, args=(client, milliseconds), daemon=True).start()

        threading.Thread(target=listen, daemon=True).start()
        sys.stdin.read()


def main(kind: str) -> None:
    """Listen until the standard input ends."""
    if kind == "aiosmtpd":
        asyncio.run(_library())
    else:
        _own(int(kind))


if __name__ == "__main__":
    main(sys.argv[1])
