"""From what a mail says (its context) to the mail: subject, text and HTML, one template rendered twice.

Text that somebody typed is cleaned before a template sees it: it can add no line, header, tag, link or key.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import date, datetime
from functools import cache, lru_cache
from gettext import NullTranslations
from pathlib import Path
from secrets import token_hex
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import quote

import css_inline
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, TemplateNotFound
from jinja2.runtime import Context as Scope
from markupsafe import Markup, escape

from jobs import letter_words
from jobs.letter_context import CONTEXTS, Context, Foreign, Role
from store.errors import FormatWrong
from store.rules.key_format import redact

TEMPLATES: Final = Path(__file__).parent.parent / "templates" / "email"
LANGUAGE: Final = "en"

_JOINER: Final = "\u2060"  # no width, no break: keeps mail programs from making a link
_TO_SPACE: Final = frozenset({"Cc", "Zl", "Zp", "Zs"})
_DROPPED: Final = frozenset({"Cf", "Cs", "Co", "Cn"})
_DOMAIN_DOT: Final = re.compile(r"(?<=\w)([.。．｡])(?=[^\W_]{2})")
_SCHEME: Final = re.compile(r"(?<=\w):(?=//)")
_CLASS: Final = re.compile(r'class="[^"]+"')
_STYLE: Final = re.compile(r' style="([^"]*)"')
_READ_FOR_EACH: Final = 16  # characters, for each that may be shown: composing and taking away leave enough of them
_BLANK_LINES: Final = re.compile(r"\n{3,}")
_PLAIN_SPACES: Final = (("\u00a0", " "), ("\u202f", " "), ("\u2212", "-"))
# What stands for what is one recipient's alone, and in no text that anybody can have typed.
_GREETING, _NAME, _WHY, _REFERENCE, _COMPANY = (token_hex(16) for _ in range(5))
_SOME_ROLES: Final[tuple[Role, ...]] = ("resource",)

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail before it has an address: a one-line subject and the same words as text and as HTML."""

    subject: str
    text: str
    html: str


def render(kind: str, context: Context, *, today: date, now: datetime) -> Letter:
    """The letter of that kind; `today` is the day in the company's zone from which days are counted.

    What one key's people are told differs by name, role and reference, so these are put into what was rendered for the
    first of them. A template shows name and reference as they are, and of `now` no seconds.
    """
    if type(context) is not CONTEXTS.get(kind):
        raise FormatWrong(f"A mail of the kind {kind!r} cannot be written from {type(context).__name__}.")
    mail = cleaned(context.envelope, links_broken=True)
    roles = mail.roles and _SOME_ROLES
    anybody = replace(context.envelope, recipient_name=_NAME, roles=roles, reference=_REFERENCE)
    try:
        page = _rendered(kind, replace(context, envelope=anybody), today, now.replace(second=0, microsecond=0))
    except TemplateNotFound as error:
        raise FormatWrong(f"The template {error.name} is not there; install Keydesk again.") from error

    def for_whom(content: str, *, markup: bool) -> str:
        company, name = getattr(page.about, "company", ""), mail.recipient_name
        if markup:
            company, name = escape(company), escape(name)
        why = _why(mail.roles, page.keys, markup=markup).replace(_COMPANY, company)
        before, greeting, after = content.split(_GREETING)
        greeting = greeting.replace(_NAME, name) if name else ""
        return (before + greeting + after).replace(_WHY, why).replace(_REFERENCE, mail.reference)

    letter = page.letter
    text = _BLANK_LINES.sub("\n\n", for_whom(letter.text, markup=False))
    return Letter(letter.subject, text, for_whom(letter.html, markup=True))


@dataclass(frozen=True, slots=True)
class _Page:
    """A letter to anybody, and what it is about with every text in it cleaned; `keys` is of how many it tells."""

    letter: Letter
    about: Context
    keys: int


@lru_cache(maxsize=64)
def _rendered(kind: str, context: Context, today: date, now: datetime) -> _Page:
    for_header = cleaned(context, links_broken=False)
    for_body = cleaned(context, links_broken=True)
    why = _WHY if context.envelope.roles else ""
    words = {"today": today, "now": now, "header_mail": for_header.envelope, "why": why}
    words |= {"greeting_begins": _GREETING, "greeting_ends": _GREETING}
    text, html = (_template(kind, markup=markup) for markup in (False, True))
    heading = {"about": for_header, "mail": for_header.envelope, **words}
    subject = _one_line("".join(text.blocks["subject"](text.new_context(heading))))
    speech = {"about": for_body, "mail": for_body.envelope, "header": for_header, "subject_line": subject, **words}
    letter = Letter(subject, _tidy(text.render(speech)), _inlined(html.render(speech)).strip() + "\n")
    keys = getattr(for_body, "keys", ())
    return _Page(letter, for_body, len(keys) if isinstance(keys, tuple) else 1)


@dataclass(frozen=True, slots=True)
class _Reasons:
    """What the sentence about why somebody gets a mail looks at, of envelope and content."""

    roles: tuple[Role, ...]
    company: str
    keys: Sequence[int]


@lru_cache(maxsize=256)
def _why(roles: tuple[Role, ...], keys: int, *, markup: bool) -> str:
    say: Any = _environment(markup=markup).globals["say"]
    reasons = _Reasons(roles, _COMPANY, range(keys or 1))
    return str(say.why(reasons, reasons).strip())


def cleaned(record: Record, *, links_broken: bool) -> Record:
    """The same record with every text in it cleaned, and with what looks like a link broken where that is asked for."""
    changed: dict[str, Any] = {}
    for name, rule in _rules(type(record)):  # type: ignore[arg-type]
        value = getattr(record, name)
        if isinstance(value, str):
            clean_value: Any = _cleaned_text(value, rule, links_broken=links_broken)
        elif isinstance(value, tuple):
            clean_value = tuple(
                cleaned(item, links_broken=links_broken) if is_dataclass(item) else item for item in value
            )
        elif is_dataclass(value):
            clean_value = cleaned(value, links_broken=links_broken)
        else:
            continue
        if clean_value != value:
            changed[name] = clean_value
    return replace(record, **changed) if changed else record  # type: ignore[type-var]


@lru_cache(maxsize=4096)
def clean(text: str, limit: int = 200) -> str:
    """One line of visible characters in NFC, without a key or the start of an encoded word, cut at `limit`."""
    start = text[: limit * _READ_FOR_EACH]  # what is far too long is cut, not read
    kept = start if start.isascii() and start.isprintable() else "".join(map(_visible, start))
    line = " ".join(redact(unicodedata.normalize("NFC", kept)).split())
    return letter_words.cut(line.replace("=?", "= ?"), limit)


@lru_cache(maxsize=4096)
def defang(text: str) -> str:
    """The text with an invisible joiner in everything that a mail program would turn into a link."""
    return _DOMAIN_DOT.sub(rf"\1{_JOINER}", _SCHEME.sub(f":{_JOINER}", text))


@cache
def _rules(record: type[Any]) -> tuple[tuple[str, Foreign | None], ...]:
    """The fields of a record, each with how what somebody typed there is shown; None where nobody types."""
    hints = get_type_hints(record, include_extras=True)
    typed = {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Annotated}
    return tuple(
        (field.name, next((mark for mark in typed.get(field.name, ()) if isinstance(mark, Foreign)), None))
        for field in fields(record)
    )


def _cleaned_text(value: str, rule: Foreign | None, *, links_broken: bool) -> str:
    if rule is None:
        return clean(value)
    text = clean(value, rule.limit) or (_translations().gettext(rule.empty) if rule.empty else "")
    return defang(text) if links_broken else text


@lru_cache(maxsize=4096)
def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in _TO_SPACE:
        return " "
    return "" if category in _DROPPED else character


def _one_line(subject: str) -> str:
    return letter_words.cut(" ".join(subject.split()), 150)


def _tidy(text: str) -> str:
    """Plain spaces, no space at a line's end but in the signature's mark, no more than one empty line."""
    for space, plain in _PLAIN_SPACES:
        text = text.replace(space, plain)
    lines = [line if line == "-- " else line.rstrip() for line in text.split("\n")]
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip("\n") + "\n"


def _url(value: str) -> str:
    """The value as part of a mailto link; escaping for HTML is taken back first."""
    return quote(value.unescape() if isinstance(value, Markup) else value, safe="@")


@cache
def _translations() -> NullTranslations:
    """English is the source; a catalogue of another language takes this place."""
    return NullTranslations()


@cache
def _template(kind: str, *, markup: bool) -> Template:
    return _environment(markup=markup).get_template(f"{kind}.j2")


class _Scope(Scope):
    """Calls what a template calls: nothing of ours wants a context with it, for which the library looks each time."""

    def call(
        self, called: Callable[..., Any], /, *given: Any, _block_vars: Any = None, _loop_vars: Any = None, **named: Any
    ) -> Any:
        """The value of the call."""
        return called(*given, **named)


@cache
def _environment(*, markup: bool) -> Environment:
    """One for text, where nothing is escaped, and one for HTML, where everything is."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        auto_reload=False,  # or it would look at the files' times for each mail
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    made.context_class = _Scope
    made.autoescape = markup  # in text an apostrophe stays an apostrophe
    made.policies["ext.i18n.trimmed"] = True
    made.newstyle_gettext = True  # type: ignore[attr-defined]
    made.globals.update(_speech(Markup if markup else str))
    for word in (
        "day",
        "short_day",
        "next_day",
        "month",
        "place",
        "instant",
        "moment",
        "short_instant",
        "number",
        "cut",
    ):
        made.filters[word] = getattr(letter_words, word)
    made.filters["url"] = _url
    form = "html" if markup else "txt"
    made.globals["language"] = LANGUAGE
    made.globals["layout"] = f"_base/layout.{form}.j2"
    made.globals["ui"] = made.get_template(f"_base/ui.{form}.j2").module
    made.globals["say"] = _Remembered(made.get_template("_base/say.j2").module)
    return made


class _Remembered:
    """The macros of a template whose words depend on what they are given alone; most of a night's mails ask alike."""

    def __init__(self, module: object) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Callable[..., str]:
        """The macro of that name, looked up once."""
        macro: Callable[..., str] = lru_cache(maxsize=256, typed=True)(getattr(self._module, name))
        setattr(self, name, macro)
        return macro


def _speech(kind: type[str]) -> dict[str, Callable[..., str]]:
    """What `{% trans %}` calls: the library's own without its detours; `kind` escapes what is put in, or does not."""
    put: Callable[[Any], str] = escape if kind is Markup else str

    @cache
    def said(text: str) -> str:
        return kind(_translations().gettext(text) % {})

    @lru_cache(maxsize=4096)
    def counted(one: str, many: str, number: int) -> str:
        return _translations().ngettext(one, many, number)

    def gettext(text: str, /, **values: Any) -> str:
        if not values:
            return said(text)
        return kind(_translations().gettext(text) % {name: put(value) for name, value in values.items()})

    def ngettext(one: str, many: str, number: int, /, **values: Any) -> str:
        return kind(
            counted(one, many, number) % {name: put(value) for name, value in {"num": number, **values}.items()}
        )

    return {"gettext": gettext, "ngettext": ngettext, "_": gettext}


def _inlined(page: str) -> str:
    """The page with each element's look in its `style`, as Gmail and Outlook want it; @media stays in the head.

    The layout's rules name classes and `body` only, so one look-up for each class does what took a parser.
    """
    before, _, rest = page.partition("<style>")
    rules, _, after = rest.partition("</style>")
    looks = _looks_by(rules)
    after = after.replace("<body>", looks["<body>"], 1)
    after = _CLASS.sub(lambda found: looks[found[0]], after)
    return f"{before}<style>{_conditional(rules)}</style>{after}"


class _Looks(dict[str, str]):
    """The same `<body>` or class with what the rules declare for it as its style; each is found out once."""

    def __init__(self, rules: str) -> None:
        super().__init__()
        self._rules = rules

    def __missing__(self, written: str) -> str:
        is_body = written == "<body>"
        element = "<body>" if is_body else f"<body><p {written}>"
        page = _inliner().inline(f"<html><head><style>{self._rules}</style></head>{element}x</html>")
        look = _STYLE.findall(page)[-1] if is_body or page.count(" style=") > 1 else ""
        self[written] = f'<body style="{look}">' if is_body else f'{written} style="{look}"'
        return self[written]


_looks_by = cache(_Looks)


@cache
def _conditional(rules: str) -> str:
    """Those of the rules that stand in @media."""
    page = _inliner().inline(f"<html><head><style>{rules}</style></head><body></body></html>")
    return page.partition("<style>")[2].partition("</style>")[0]


@cache
def _inliner() -> css_inline.CSSInliner:
    return css_inline.CSSInliner(keep_style_tags=False, keep_at_rules=True, load_remote_stylesheets=False)
