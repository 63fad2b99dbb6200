"""One line to write in."""

from textual.widgets import Input

from store.rules.text import visible


class Field(Input):
    """An Input that is one row high, does not blink, and holds no character that cannot be seen."""

    DEFAULT_CSS = """
    Field { width: 1fr; }
    Field:focus { text-style: underline; }
    """

    def __init__(self, value: str = "", placeholder: str = "", *, limit: int = 0) -> None:
        super().__init__(None, placeholder, compact=True, max_length=limit)
        # Set aside from the watchers, which want a running app: a dialog may be made before it is shown.
        self.set_reactive(Input.value, self.validate_value(value))
        self.set_reactive(Input.cursor_blink, False)  # half a kilobyte a second over SSH, and never silent

    def validate_value(self, value: str) -> str:
        """Drop what a paste hides: escape sequences, direction marks, zero-width spaces."""
        return value if value.isprintable() else "".join(one for one in value if visible(one) == one)
