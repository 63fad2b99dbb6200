"""The filter language of the desk, the command line and links: words, and fields like `state:expired env:prod`.

A filter is a row of terms, all of which must hold. A term is a word or `"several words"`, or `field:value`; a minus
before it turns it round. In quotes, a backslash makes the quote or backslash after it an ordinary character.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from store.errors import FormatWrong

Grammar = Mapping[str, tuple[str, ...] | None]
"""The fields a list knows, each with its possible values; None when any text may follow."""

_TERM = re.compile(
    r'(?P<no>-(?=\S))?(?:(?P<field>[A-Za-z]+):)?(?:"(?P<quoted>(?:[^"\\]|\\.)*)(?:"|\\?$)|(?P<bare>[^\s"]\S*))?',
    re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_PLAIN = re.compile(r'[^\s"\-:][^\s:]*')


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. `field` is empty for a word that is looked for everywhere."""

    field: str
    value: str
    negated: bool = False


def parse(text: str, grammar: Grammar) -> tuple[Term, ...]:
    """Read a filter. A field whose value is not typed yet says nothing.

    FormatWrong for a field that the list does not have, or a value that its field cannot have.
    """
    terms = []
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        match = _TERM.match(text, position)
        if match is None or match.end() == position:  # a lone minus or colon is a word
            match_end = _end_of_word(text, position)
            terms.append(Term("", text[position:match_end]))
            position = match_end
            continue
        position = match.end()
        term = _term(match)
        if term.value:
            terms.append(_checked(term, grammar))
    return tuple(terms)


def written(terms: tuple[Term, ...]) -> str:
    """The filter as it is typed; `parse` gives the same terms back."""
    return " ".join(_written(term) for term in terms)


def one_of(term: Term, choices: tuple[str, ...]) -> tuple[str, ...]:
    """The choices that a value names: itself, or while it is being typed, all that begin with it."""
    value = term.value.casefold()
    return (value,) if value in choices else tuple(choice for choice in choices if choice.startswith(value))


def fold(text: str) -> str:
    """A text as filters compare it; the `folded` columns hold names in this form."""
    return text.casefold()


def like(text: str) -> str:
    """The pattern that finds `text` anywhere, folded, with `!` before its own wildcards (`LIKE ? ESCAPE '!'`)."""
    literal = re.sub(r"([!%_])", r"!\1", fold(text))
    return f"%{literal}%"


def _term(match: re.Match[str]) -> Term:
    quoted = match["quoted"]
    value = match["bare"] or "" if quoted is None else _ESCAPED.sub(r"\1", quoted)
    return Term((match["field"] or "").lower(), value, match["no"] is not None)


def _checked(term: Term, grammar: Grammar) -> Term:
    if not term.field:
        return term
    if term.field not in grammar:
        fields = ", ".join(f"{field}:" for field in grammar) or "none"
        raise FormatWrong(
            f"There is no field {term.field}: here; the fields are {fields}. Put a text with a colon in quotes."
        )
    choices = grammar[term.field]
    if choices is not None and not one_of(term, choices):
        raise FormatWrong(f"{term.field}: cannot be {term.value!r}; choose {', '.join(choices)}.")
    return term


def _written(term: Term) -> str:
    minus = "-" if term.negated else ""
    field = f"{term.field}:" if term.field else ""
    if _PLAIN.fullmatch(term.value):
        return minus + field + term.value
    escaped = re.sub(r'(["\\])', r"\\\1", term.value)
    return f'{minus}{field}"{escaped}"'


def _end_of_word(text: str, start: int) -> int:
    end = start
    while end < len(text) and not text[end].isspace():
        end += 1
    return end
