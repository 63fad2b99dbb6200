"""A mail server for the demo: takes every mail on loopback and keeps it as a file, sends none.

`python -m keydesk.demonstration.mail_catcher PARENT FOLDER` prints its port, and ends with its parent.
"""

import asyncio
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from keydesk.bound import die_with

_LONGEST_MAIL: Final = 10_000_000  # bytes


class MailCatcher:
    """Speaks as much SMTP as is needed to be handed mails one after the other (RFC 5321)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._caught = len(list(folder.glob("*.eml")))

    async def listen(self) -> int:
        """Begin; the port."""
        server = await asyncio.start_server(self._converse, "127.0.0.1", 0, limit=_LONGEST_MAIL)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 localhost catches mails\r\n")
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while True:
                await writer.drain()
                line = await reader.readuntil(b"\r\n")
                verb = line[:4].upper().strip()
                if verb == b"DATA":
                    writer.write(b"354 go on\r\n")
                    writer.write(self._keep(await self._body(reader)))
                elif verb == b"QUIT":
                    writer.write(b"221 bye\r\n")
                    break
                else:
                    writer.write(_REPLIES.get(verb, b"500 not known here\r\n"))
        with suppress(ConnectionError):
            await writer.drain()
        writer.close()

    async def _body(self, reader: asyncio.StreamReader) -> bytes:
        lines = []
        while (line := await reader.readuntil(b"\r\n")) != b".\r\n":
            lines.append(line.removeprefix(b"."))
        return b"".join(lines)

    def _keep(self, mail: bytes) -> bytes:
        self._caught += 1
        name = f"{self._caught:05d}.eml"
        (self._folder / name).write_bytes(mail)
        return f"250 2.0.0 Ok: kept as {name}\r\n".encode()


_OK: Final = b"250 2.0.0 Ok\r\n"
_REPLIES: Final = {
    b"EHLO": b"250-localhost\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 10000000\r\n",
    b"HELO": b"250 localhost\r\n",
    b"MAIL": _OK,
    b"RCPT": _OK,
    b"RSET": _OK,
    b"NOOP": _OK,
}


async def serve(folder: Path) -> None:
    """Catch mails until SIGTERM or SIGINT."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    sys.stdout.write(f"{await MailCatcher(folder).listen()}\n")
    sys.stdout.flush()
    await ended.wait()


if __name__ == "__main__":
    die_with(int(sys.argv[1]))
    asyncio.run(serve(Path(sys.argv[2])))
