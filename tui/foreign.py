"""The one way a text from elsewhere enters a widget."""

from rich.text import Text

from store.rules.text import visible


def text(value: object, style: str = "") -> Text:
    """Show a foreign value on one line: no markup is read, and no character hides or reaches the terminal raw."""
    return Text(visible(str(value)), style=style)
