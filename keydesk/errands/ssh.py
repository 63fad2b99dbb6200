"""`keydesk ssh authorized-keys|session`: what sshd runs, for somebody who is not trusted yet, and for one who is.

The session knows its admin by one thing only: the key that sshd has checked, which it reads from the file that sshd
names (`ExposeAuthInfo`). No argument, user name or environment of the client says who somebody is.
"""

import argparse
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from threading import Event, Thread
from types import FrameType

from keydesk.opening import open_peppers, open_store
from keydesk.settings import Settings
from store import admins
from store.actors import Actor
from store.errors import NotAllowed, Refused, StoreUnavailable
from store.rules import public_key
from store.rules.public_key import PublicKey

_TERM = re.compile(r"[A-Za-z0-9._+-]{1,32}", re.ASCII)
_PLAIN_TERM = "xterm-256color"
_LONGEST_FILE = 64 * 1024


def run(given: argparse.Namespace, settings: Settings, clock: Callable[[], datetime]) -> int:
    """Answer sshd, or open the desk for the admin whose key sshd has checked."""
    if given.act == "authorized-keys":
        return _authorized_keys(given.type, given.blob, settings)
    return _session(settings, clock)


def _authorized_keys(key_type: str, blob: str, settings: Settings) -> int:
    """Print the key if it logs in, else nothing. sshd asks twice a login, and for keys nobody has proven to own."""
    open_store(settings)
    key = admins.login_key(key_type, blob)
    if key is not None:
        sys.stdout.write(f"restrict,pty {key.type} {key.blob}\n")
    return 0


def _session(settings: Settings, clock: Callable[[], datetime]) -> int:
    if os.environ.get("SSH_ORIGINAL_COMMAND"):
        raise Refused("Only the desk opens here; log in without a command (no scp, no sftp).")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Refused("The desk needs a terminal; log in with `ssh -t`.")
    os.environ["TERM"] = terminal(os.environ.get("TERM", ""))
    key = proven_key(os.environ)
    open_store(settings)
    actor = admins.actor_for(key.type, key.blob, origin(os.environ))
    return _at_the_desk(actor, key, settings, clock)


def _at_the_desk(actor: Actor, key: PublicKey, settings: Settings, clock: Callable[[], datetime]) -> int:
    """The desk between two events. The second is written however the session ends, short of kill -9."""
    from tui.app import open_desk  # noqa: PLC0415 - sshd asks for keys with this module too, and that must be quick

    peppers = open_peppers(settings, clock())
    watch = _Watch(actor, key)
    status = 1
    # Until the desk listens for itself, and after it has stopped to.
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, _leave)
    admins.begin_session(actor, key.fingerprint, clock())
    watch.start()
    try:
        read_only = settings.desk.read_only or actor.role == "auditor"
        status = open_desk(actor, peppers, clock=clock, read_only=read_only)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
        raise
    finally:
        for number in (signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        watch.stop()
        admins.end_session(actor, status, clock())
    if watch.ended:
        raise NotAllowed(f"The login of {actor.name} has been changed or ended; log in again.")
    return status


class _Watch(Thread):
    """Looks every other second whether the login still stands, and ends the desk (SIGTERM) when it does not.

    The store refuses every change of such a session anyhow; this keeps it from being read by somebody who has left.
    """

    def __init__(self, actor: Actor, key: PublicKey) -> None:
        super().__init__(name="login-watch", daemon=True)
        self._actor = actor
        self._key = key
        self._stopped = Event()
        self.ended = False

    def run(self) -> None:
        """Until the desk is left. A look that fails in a way nobody foresaw ends the desk too."""
        try:
            while not self._stopped.wait(2) and self._stands():
                pass
        finally:
            if not self._stopped.is_set():
                self.ended = True
                os.kill(os.getpid(), signal.SIGTERM)

    def stop(self) -> None:
        """The desk has been left."""
        self._stopped.set()
        self.join()

    def _stands(self) -> bool:
        try:
            return admins.actor_for(self._key.type, self._key.blob, self._actor.origin) == self._actor
        except StoreUnavailable:  # away for a moment, which says nothing about anybody
            return True
        except NotAllowed:
            return False


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def proven_key(environment: Mapping[str, str]) -> PublicKey:
    """The one public key that sshd says it has checked. NotAllowed when it says nothing, or more than one."""
    named = environment.get("SSH_USER_AUTH", "")
    if not named:
        raise NotAllowed("sshd does not say who this is; set `ExposeAuthInfo yes` as in deploy/ssh.")
    try:
        with Path(named).open(encoding="ascii") as file:
            said = file.read(_LONGEST_FILE)
    except (OSError, UnicodeDecodeError):
        raise NotAllowed("What sshd says of this login cannot be read; log in again.") from None
    keys = [line.removeprefix("publickey ") for line in said.split("\n") if line.startswith("publickey ")]
    if len(keys) != 1:
        raise NotAllowed(f"One public key says who somebody is; sshd speaks of {len(keys)}. Log in with one key.")
    return public_key.parse(keys[0])


def origin(environment: Mapping[str, str]) -> str:
    """Where the admin sits, as events show it: `ssh 192.0.2.7`. NotAllowed when sshd names no address."""
    try:
        address = ip_address(environment.get("SSH_CONNECTION", "").split(" ")[0].partition("%")[0])
    except ValueError:
        raise NotAllowed("sshd does not say where this login comes from; the desk opens only through sshd.") from None
    return f"ssh {address}"


def terminal(named: str) -> str:
    """The terminal's kind, which the client may set to anything: what is not a plain name becomes a common one."""
    return named if _TERM.fullmatch(named) else _PLAIN_TERM
