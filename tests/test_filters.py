"""What does a filter that somebody types mean?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import FormatWrong
from store.filters import Term, like, one_of, parse, written

GRAMMAR = {"state": ("live", "expiring", "expired"), "company": None}


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", ()),
        ("   ", ()),
        ("acme", (Term("", "acme"),)),
        ("acme prod", (Term("", "acme"), Term("", "prod"))),
        ('"acme prod"', (Term("", "acme prod"),)),
        ('"acme pr', (Term("", "acme pr"),)),
        ("state:expired", (Term("state", "expired"),)),
        ("STATE:expired", (Term("state", "expired"),)),
        ("state:", ()),
        ("-state:expired", (Term("state", "expired", negated=True),)),
        ('company:"Ola & sons" -x', (Term("company", "Ola & sons"), Term("", "x", negated=True))),
        ("-", (Term("", "-"),)),
        (":", (Term("", ":"),)),
        ('"10:30"', (Term("", "10:30"),)),
        (r'"say \"hi\" \\"', (Term("", r'say "hi" \ '.strip()),)),
        ("[/nope]", (Term("", "[/nope]"),)),
        ("100%", (Term("", "100%"),)),
    ],
)
def test_a_filter_is_read_into_its_terms(text: str, terms: tuple[Term, ...]) -> None:
    assert parse(text, GRAMMAR) == terms


def test_a_field_that_the_list_does_not_have_is_refused_with_those_it_has() -> None:
    with pytest.raises(FormatWrong, match=r"no field owner: here; the fields are state:, company:\. Put a text"):
        parse("owner:kari", GRAMMAR)


def test_a_value_that_its_field_cannot_have_is_refused_with_those_it_can() -> None:
    with pytest.raises(FormatWrong, match="state: cannot be 'dead'; choose live, expiring, expired"):
        parse("state:dead", GRAMMAR)


def test_a_value_that_is_being_typed_means_all_that_begin_with_it() -> None:
    assert one_of(Term("state", "exp"), GRAMMAR["state"]) == ("expiring", "expired")
    assert one_of(Term("state", "Expired"), GRAMMAR["state"]) == ("expired",)


def test_wildcards_in_a_word_are_looked_for_as_themselves() -> None:
    assert like("50%_OFF!") == "%50!%!_off!!%"


terms_typed = st.builds(
    Term,
    st.sampled_from(["", "company"]),
    st.text(min_size=1, max_size=12).filter(lambda value: value.strip() != ""),
    st.booleans(),
)


@given(st.lists(terms_typed, max_size=5).map(tuple))
def test_a_filter_that_is_written_out_is_read_back_as_it_was(terms: tuple[Term, ...]) -> None:
    assert parse(written(terms), GRAMMAR) == terms


@given(st.text(max_size=40))
def test_whatever_is_typed_is_read_or_refused_in_a_sentence(text: str) -> None:
    try:
        said = "".join(term.value for term in parse(text, GRAMMAR)) or "nothing"
    except FormatWrong as refusal:
        said = str(refusal)

    assert said
