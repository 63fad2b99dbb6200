"""Letters as the tests write and read them."""

from datetime import UTC, date, datetime
from html.parser import HTMLParser
from typing import Any

from jobs.letter_context import Context
from jobs.letters import render
from jobs.mail_preview import sample_contexts

TODAY = date(2026, 11, 23)
NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


class Page(HTMLParser):
    """A mail's HTML as its tags, its attributes and the words between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.words = ""
        self.hidden = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _value in attrs}
        self.hidden = tag == "style"

    def handle_data(self, data: str) -> None:
        self.words += " " if self.hidden else data

    @property
    def spoken(self) -> str:
        return " ".join(self.words.split())


def letter(kind: str, context: Context) -> Any:
    return render(kind, context, today=TODAY, now=NOW)


def typical(kind: str) -> Context:
    return sample_contexts()[kind]["typical"]
