"""What do the mails say, and to whom do they say the same?"""

import re
from dataclasses import fields, is_dataclass, replace
from datetime import date
from typing import Any

import pytest
from golden import compare
from written_letters import NOW, TODAY, Page, letter, typical

from jobs import letter_words
from jobs.letter_context import CONTEXTS, Context, Key, KeyDigest, KeyExpiring, NoticedKey
from jobs.letter_json import from_json, to_json
from jobs.letters import TEMPLATES, cleaned
from jobs.mail_preview import sample_contexts
from store.errors import FormatWrong

SAMPLES = [(kind, name, context) for kind, named in sample_contexts().items() for name, context in named.items()]
EVERY_SAMPLE = pytest.mark.parametrize(("kind", "context"), [(k, c) for k, _n, c in SAMPLES], ids=lambda v: str(v)[:20])


def expiring(expires_on: date) -> KeyExpiring:
    sample = typical("key_expiring")
    assert isinstance(sample, KeyExpiring)
    noticed = sample.keys[0]
    return replace(sample, keys=(replace(noticed, key=replace(noticed.key, expires_on=expires_on)),))


def facts(record: Any) -> set[str]:
    """Every text and day that a context holds, as a mail must write it."""
    found: set[str] = set()
    for field in fields(record):
        value = getattr(record, field.name)
        if field.name in {"zone", "roles", "envelope", "month", "first", "last", "old_first", "old_last"}:
            continue
        if isinstance(value, str) and value and field.name not in {"environment", "kind", "switched"}:
            found.add(value)
        elif type(value) is date:
            found.add(letter_words.day(value))
        elif is_dataclass(value):
            found |= facts(value)
        elif isinstance(value, tuple):
            found |= {fact for item in value if is_dataclass(item) for fact in facts(item)}
    return found | ({record.shown} if isinstance(record, Key) else set())


# What they say


@pytest.mark.parametrize("kind", CONTEXTS)
def test_each_mail_reads_as_it_was_approved(kind: str) -> None:
    written = letter(kind, typical(kind))

    compare(f"{kind}.txt", f"Subject: {written.subject}\n\n{written.text}".encode())
    compare(f"{kind}.html", written.html.encode())


@pytest.mark.parametrize(
    ("expires_on", "subject"),
    [
        (date(2026, 12, 7), "[erp-sync] API key stops working in 14 days (after 7 Dec)"),
        (date(2026, 11, 26), "[erp-sync] API key stops working in 3 days (after 26 Nov)"),
        (date(2026, 11, 25), "[erp-sync] API key stops working in 2 days (after 25 Nov)"),
        (date(2026, 11, 24), "[erp-sync] API key stops at the end of tomorrow (24 Nov)"),
        (date(2026, 11, 23), "[erp-sync] API key stops at the end of today (23 Nov)"),
        (date(2026, 11, 22), "[erp-sync] API key stopped working after 22 Nov"),
    ],
)
def test_the_days_are_counted_on_the_day_of_sending(expires_on: date, subject: str) -> None:
    assert letter("key_expiring", expiring(expires_on)).subject == subject


def test_a_key_works_through_its_last_day_and_the_mail_says_so_with_the_place() -> None:
    text = letter("key_expiring", expiring(date(2026, 12, 6))).text

    assert "works through Sunday 6 December 2026 (stops at midnight, Oslo time)." in text


def test_several_keys_are_one_mail_that_names_each_and_counts_from_the_first() -> None:
    written = letter("key_expiring", sample_contexts()["key_expiring"]["digest"])

    assert written.subject == "[Fjordfisk AS] 3 API keys stop, first in 3 days"
    assert [line for line in written.text.splitlines() if line.startswith("==")] == [
        "== webshop",
        "== try-out",
        "== erp-sync",
    ]
    assert "Last used: 2 Mar 2026, 14:05 Oslo time, from 2001:db8::1f (1 call so far)\n" in written.text
    assert "Last used: never\n" in written.text
    assert "Last used: 23 Nov 2026, 07:58 Oslo time, from 192.0.2.17 (48,211 calls so far)\n" in written.text


def test_several_keys_of_one_day_share_its_date() -> None:
    sample = expiring(date(2026, 12, 7))

    both = replace(sample, keys=sample.keys * 2)

    assert letter("key_expiring", both).subject == "[Fjordfisk AS] 2 API keys stop in 14 days (after 7 Dec)"


def test_the_owner_of_a_test_key_is_not_told_to_extend_it() -> None:
    text = letter("key_expiring", sample_contexts()["key_expiring"]["test"]).text

    assert "A test key cannot be extended." in text
    assert "Keep it working" not in text


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("typical", "[erp-sync] API key extended, works through 6 Dec 2027"),
        ("shortened", "[erp-sync] API key shortened, works through 30 Nov"),
        ("revived", "[erp-sync] API key works again, through 22 Nov 2027"),
    ],
)
def test_a_changed_date_says_which_way_it_changed(name: str, subject: str) -> None:
    assert letter("key_expiry_changed", sample_contexts()["key_expiry_changed"][name]).subject == subject


def test_switching_off_says_how_many_keys_stop() -> None:
    written = letter("integration_changed", sample_contexts()["integration_changed"]["switched off"])

    assert written.subject == "[Fjordfisk AS] API Access switched off, 1,204 keys stopped"
    assert "1,204 API keys have stopped working" in written.text


def test_switching_on_says_how_many_keys_work_again() -> None:
    written = letter("integration_changed", sample_contexts()["integration_changed"]["switched on"])

    assert written.subject == "[Fjordfisk AS] API Access switched on, 12 keys work"
    assert "12 API keys work again from now on." in written.text


def test_each_mail_says_why_one_gets_it() -> None:
    minimal, both = (sample_contexts()["key_created"][name] for name in ("minimal", "typical"))

    assert (
        "You get this mail because your address is on the emails to notify of API Access. "
        "To be taken off, answer and say so.\n" in letter("key_created", minimal).text
    )
    assert (
        "You get this mail because you are the resource of the key, "
        "and you are on the users to notify of API Access.\n" in letter("key_created", both).text
    )


@pytest.mark.parametrize("kind", CONTEXTS)
def test_of_several_who_are_told_the_same_each_reads_his_own_name_and_reference_and_no_other(kind: str) -> None:
    def told(name: str, reference: str) -> Any:
        sample = typical(kind)
        return letter(
            kind, replace(sample, envelope=replace(sample.envelope, recipient_name=name, reference=reference))
        )

    first, second, third = told("Ola", "KD-11111111"), told("Bo & <i>", "KD-22222222"), told("", "KD-33333333")

    assert second.text == first.text.replace("Ola", "Bo & <i>").replace("KD-11111111", "KD-22222222")
    assert second.html == first.html.replace("Ola", "Bo &amp; &lt;i&gt;").replace("KD-11111111", "KD-22222222")
    assert second.subject == first.subject
    assert "Hello Ola," in first.text
    assert "Hello" not in third.text + third.html
    assert "KD-33333333" in third.text


def test_without_a_reason_no_half_sentence_is_left() -> None:
    context = typical("test_mail")

    assert "because" not in letter("test_mail", replace(context, envelope=replace(context.envelope, roles=()))).text


@pytest.mark.parametrize("kind", CONTEXTS)
def test_the_one_thing_to_do_is_an_answer_with_the_reference(kind: str) -> None:
    written = letter(kind, typical(kind))

    assert "reply to this mail, or write to support@nordlys.example with KD-7F3K2 in the subject." in written.text
    assert 'href="mailto:support@nordlys.example?subject=' in written.html
    assert "%5BKD-7F3K2%5D" in written.html


def test_an_answer_starts_with_the_names_as_they_are() -> None:
    key = replace(expiring(date(2026, 12, 7)).keys[0].key, label="Tom & Jerry's x.no")
    context = replace(expiring(date(2026, 12, 7)), keys=(NoticedKey(key=key),))

    assert "-%20Tom%20%26%20Jerry%27s%20x.no%20%28kdp_Ab12" in letter("key_expiring", context).html


@EVERY_SAMPLE
def test_text_and_html_tell_the_same_facts(kind: str, context: Context) -> None:
    written, shown_context = letter(kind, context), cleaned(context, links_broken=True)

    page = Page(written.html).spoken

    wanted = {" ".join(fact.split()) for fact in facts(shown_context)}
    assert {fact for fact in wanted if fact not in " ".join(written.text.split())} == set()
    assert {fact for fact in wanted if fact not in page} == set()


@pytest.mark.parametrize("kind", CONTEXTS)
def test_a_subject_fits_a_phone(kind: str) -> None:
    names = [name for name in sample_contexts()[kind] if name != "hostile"]

    subjects = [letter(kind, sample_contexts()[kind][name]).subject for name in names]

    assert [subject for subject in subjects if len(subject) > 60] == []


@EVERY_SAMPLE
def test_a_mail_is_made_of_few_tags_and_fetches_nothing(kind: str, context: Context) -> None:
    page = Page(letter(kind, context).html)

    assert set(page.tags) <= {
        *("html", "head", "meta", "title", "style", "body", "div", "table", "tbody", "tr", "td"),
        *("h1", "h2", "p", "strong", "span", "br", "a"),
    }
    assert {"src", "onclick", "background"} & page.attributes == set()


def test_colours_stand_in_classes_only_and_each_has_a_dark_one() -> None:
    layout = (TEMPLATES / "_base" / "layout.html.j2").read_text()
    light, dark = layout.split("prefers-color-scheme: dark")
    coloured = {
        name
        for names, body in re.findall(r"([^{}]+)\{([^{}]*#[0-9a-f]{6}[^{}]*)\}", light)
        for name in re.findall(r"\.([\w-]+)", names)
        if body
    }

    assert coloured - set(re.findall(r"\.([\w-]+)", dark)) == set()
    assert [path.name for path in TEMPLATES.rglob("*.j2") if "style=" in path.read_text()] == []


# How they are kept


@EVERY_SAMPLE
def test_what_a_mail_says_survives_the_outbox(kind: str, context: Context) -> None:
    assert from_json(kind, to_json(context)) == context


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("by", 7, "key_created.by must be of type str."),
        ("at", "2026-11-23T08:00:00", "key_created.at is an instant without a time zone."),
        ("at", "soon", "key_created.at is not a UTC instant."),
        ("key", {}, "key_created.key has unknown or missing names: environment, expires_on, first, kind, label,"),
        ("secret", "x", "key_created has unknown or missing names: secret."),
    ],
)
def test_a_kept_context_that_is_wrong_is_refused_with_the_place(name: str, value: object, sentence: str) -> None:
    kept = to_json(typical("key_created")) | {name: value}

    with pytest.raises(FormatWrong, match=f"^{re.escape(sentence)}"):
        from_json("key_created", kept)


def test_a_kind_that_is_none_is_refused() -> None:
    with pytest.raises(FormatWrong, match="There is no mail of the kind 'greeting'"):
        from_json("greeting", {})
    with pytest.raises(FormatWrong, match="cannot be written from KeyCreated"):
        letter("key_revoked", typical("key_created"))


def test_a_digest_of_nothing_is_refused() -> None:
    with pytest.raises(FormatWrong, match="at least one key"):
        KeyDigest(envelope=typical("key_created").envelope, company="C", zone="Europe/Oslo", keys=())


# How days and instants are written


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("Europe/Oslo", "Monday 23 November 2026 at 09:00, Oslo time (UTC+01:00)"),
        ("America/Argentina/Buenos_Aires", "Monday 23 November 2026 at 05:00, Buenos Aires time (UTC-03:00)"),
        ("Europe/London", "Monday 23 November 2026 at 08:00, London time (UTC+00:00)"),
        ("UTC", "Monday 23 November 2026 at 08:00, UTC"),
        ("Etc/GMT-14", "Monday 23 November 2026 at 22:00, Etc/GMT-14 (UTC+14:00)"),
    ],
)
def test_an_instant_names_its_day_clock_and_place(zone: str, said: str) -> None:
    assert letter_words.instant(NOW, zone) == said


def test_a_year_is_named_where_a_day_could_be_another_years() -> None:
    assert letter_words.short_day(date(2026, 12, 7), TODAY) == "7 Dec"
    assert letter_words.short_day(date(2027, 1, 7), TODAY) == "7 Jan"
    assert letter_words.short_day(date(2027, 12, 7), TODAY) == "7 Dec 2027"
