"""What can go wrong, each error one sentence that says what to do."""


class KeydeskError(Exception):
    """Shown to a person as it stands; its text is one clear sentence. Exit status 1 on the command line."""


class Refused(KeydeskError):
    """The act is against a rule of the product (expiry too late, key already revoked)."""


class NotAllowed(KeydeskError):
    """The actor's role does not reach this act or this company."""


class NotFound(KeydeskError):
    """There is no such object, or it has gone meanwhile."""


class StoreUnavailable(KeydeskError):
    """The store cannot be opened, is locked, is full, is newer than the program, or its server does not answer.

    `is_busy` says that only others are writing to it, for longer than one waits.
    """

    def __init__(self, text: str, *, is_busy: bool = False) -> None:
        self.is_busy = is_busy
        super().__init__(text)


class OtherVersion(StoreUnavailable):
    """The store is of another version than this program, which neither reads nor writes it."""


class SettingsWrong(KeydeskError):
    """A settings file, environment variable or secret file is wrong; the text names file and line or variable."""


class ImportRefused(KeydeskError):
    """Nothing of an import was taken. `faults` lists each as `file:line: field: what is wrong`."""

    def __init__(self, faults: list[str]) -> None:
        """The text names the first faults and how many more there are."""
        self.faults = faults
        shown = "\n".join(faults[:20])
        more = f"\n… and {len(faults) - 20} more." if len(faults) > 20 else ""
        noun = "fault" if len(faults) == 1 else "faults"
        super().__init__(f"Nothing was imported: {len(faults)} {noun}. Correct and import again.\n{shown}{more}")


class FormatWrong(KeydeskError, ValueError):
    """A value is not written as it must be (a key, a date, an address, a price)."""
