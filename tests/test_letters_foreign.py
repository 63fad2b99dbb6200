"""What can a name do to a mail? Whatever somebody typed stays one line of visible characters, and no link."""

from dataclasses import fields, is_dataclass, replace
from typing import Annotated, Any, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written_letters import TODAY, Page, letter, typical

from jobs.letter_context import CONTEXTS, Key
from jobs.letters import clean, defang
from store.errors import FormatWrong
from store.rules.key_format import generate


def with_foreign(record: Any, text: str) -> Any:
    """The same record with `text` wherever somebody may type."""
    hints = get_type_hints(type(record), include_extras=True)
    values: dict[str, Any] = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if get_origin(hints[field.name]) is Annotated:
            values[field.name] = text
        elif is_dataclass(value):
            values[field.name] = with_foreign(value, text)
        elif isinstance(value, tuple):
            values[field.name] = tuple(with_foreign(item, text) if is_dataclass(item) else item for item in value)
    return replace(record, **values)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("a\r\nBcc: x@y", "a Bcc: x@y"),
        ("a\u2028b\x0bc\x00d\x1b[31m", "a b c d [31m"),
        ("\u202eevil\u2066 \u200bA\ufeff\U000e0041\ue000", "evil A"),
        ("=?utf-8?q?=0D=0ABcc:_x=40y?=", "= ?utf-8?q?=0D=0ABcc:_x=40y?="),
        ("=\u200b?utf-8?q?x?=", "= ?utf-8?q?x?="),
        ("A\u030ase\u00a0 Berg", "Åse Berg"),
        ("名前 Økonomi 😀", "名前 Økonomi 😀"),
        ("x" * 300, "x" * 199 + "…"),
        ("\ud800", ""),
    ],
)
def test_what_somebody_typed_is_one_line_of_visible_characters(typed: str, said: str) -> None:
    assert clean(typed) == said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("evil.example", "evil.\u2060example"),
        ("https://evil.example/a.b", "https:\u2060//evil.\u2060example/a.b"),
        ("kari@evil.co.uk", "kari@evil.\u2060co.\u2060uk"),
        ("例え。テスト", "例え。\u2060テスト"),
        ("J. R. Hansen AS.", "J. R. Hansen AS."),
        ("v1.2 of 10.000", "v1.2 of 10.\u2060000"),
    ],
)
def test_what_looks_like_a_link_becomes_none(name: str, said: str) -> None:
    assert defang(name) == said


def test_a_key_that_somebody_pasted_into_a_name_is_in_no_part_of_a_mail() -> None:
    key = generate("kd", "prod")

    for kind in CONTEXTS:
        written = letter(kind, with_foreign(typical(kind), f"my key {key[:30]}\u200b{key[30:]} is"))
        assert key[12:24] not in f"{written}"
        assert key[-12:] not in f"{written}"
        assert "[key removed]" in written.text


def test_no_context_has_room_for_a_key() -> None:
    with pytest.raises(FormatWrong, match="first 8 and the last 4"):
        Key(
            first=generate("kd", "prod"),
            last="",
            label="x",
            resource="x",
            environment="prod",
            kind="standard",
            expires_on=TODAY,
        )


@pytest.mark.parametrize("kind", CONTEXTS)
@settings(deadline=None, max_examples=40)
@given(text=st.text(st.characters(), max_size=80) | st.text("<>&'\"=?{}%#.:/@ \r\n\u202e\x00", max_size=80))
def test_no_name_can_add_a_line_a_tag_or_an_entity(kind: str, text: str) -> None:
    said = clean(text, 64)

    written, calm = letter(kind, with_foreign(typical(kind), text)), letter(kind, with_foreign(typical(kind), "x"))

    assert written.subject.isprintable()
    assert len(written.subject) <= 150
    if said:
        assert Page(written.html).tags == Page(calm.html).tags
        assert written.text.count("\n") == calm.text.count("\n")
        assert defang(said).replace("\u2212", "-") in written.text
        assert " ".join(defang(said).split()) in Page(written.html).spoken
    assert Page(written.html).attributes == Page(calm.html).attributes
