"""Names, titles, addresses and boxes of the kinds that were once read wrongly: tables, products and properties."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.matching.consent import read_consent
from app.matching.email import read_email, read_emails
from app.matching.names import read_name
from app.matching.normalize import normalize
from app.matching.title import seniority_of

NAMES: list[tuple[str, str | None, str | None]] = [
    ("de la Cruz", None, "de la Cruz"),
    ("DE LA CRUZ", None, "DE LA CRUZ"),
    ("van Gogh", None, "van Gogh"),
    ("von Neumann", None, "von Neumann"),
    ("van der Berg", None, "van der Berg"),
    ("van Gogh Jr.", None, "van Gogh Jr."),
    ("Cruz, de la", None, "de la Cruz"),
    ("Juan de la Cruz", "Juan", "de la Cruz"),
    ("de la Cruz, Juan", "Juan", "de la Cruz"),
    ("Van Nguyen", "Van", "Nguyen"),
    ("Al Pacino", "Al", "Pacino"),
    ("Smith, John, Jr.", "John", "Smith Jr."),
    ("Smith, Jr., John", "John", "Smith Jr."),
    ("Smith, John Paul, III", "John Paul", "Smith III"),
    ("John Smith, Jr.", "John", "Smith Jr."),
    ("Smith, Jr.", None, "Smith Jr."),
    ("Smith, John, PhD", "John", "Smith"),
    ("Smith, John, MD, PhD", "John", "Smith"),
    ("Smith, Dr. John, Ph.D.", "John", "Smith"),
    ("John Smith PhD", "John", "Smith"),
    ("John Smith, MBA", "John", "Smith"),
    ("Smith, PhD", "Smith", None),
    ("Maria Neto", "Maria", "Neto"),
]
TITLES = ["dr", "Dr.", "PROF.", "Mr.", "inż.", "Prof. Dr.", "г-н", "Frau"]
DEGREES = ["PhD", "Ph.D.", "MBA", "MD, PhD", "Esq.", "Jr.", "III"]


@pytest.mark.parametrize(("typed", "first", "last"), NAMES)
def test_a_full_name_is_divided_as_people_mean_it(typed: str, first: str | None, last: str | None) -> None:
    name = read_name("", "", typed)
    assert (name.first, name.last, name.full) == (first, last, typed)


@pytest.mark.parametrize("typed", TITLES + DEGREES)
def test_a_title_or_a_degree_alone_names_nobody(typed: str) -> None:
    for parts in (("", "", typed), (typed, "", ""), ("", typed, "")):
        name = read_name(*parts)
        assert (name.first, name.last, name.full) == (None, None, None), parts
        assert name.salutation == (typed if typed in TITLES and parts[1] == "" else None), parts
        fields = dict(zip(("first_name", "last_name", "full_name"), parts, strict=True))
        person = normalize(fields, {}, None)
        assert not person.fields.keys() & fields.keys()
        assert typed in person.raw.values()
    assert read_name(typed, "Pop", "").last == "Pop"


WORDS = [*TITLES, *DEGREES, "Ana", "Pop", "de", "la", "van", "Van", ",", ", ", "Jr.", "J.", "", "x"]


@given(st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join), st.sampled_from(WORDS), st.sampled_from(WORDS))
def test_names_of_any_words_are_read_and_their_parts_are_read_as_the_same(full: str, first: str, last: str) -> None:
    name = read_name("", "", full)
    again = read_name(name.first or "", name.last or "", "")
    if name.first and name.last:
        assert (again.first, again.last) == (name.first, name.last)
    read_name(first, last, full)


CHIEFS = {
    "en": (
        ["CEO", "Managing Director", "General Manager", "President"],
        ["Deputy {}", "{} (deputy)", "First deputy {}"],
    ),
    "ro": (["director general", "președinte"], ["{} adjunct", "vice {}"]),
    "ru": (["генерального директора", "президента"], ["заместитель {}", "зам. {}", "первый заместитель {}"]),
    "pl": (["prezesa zarządu", "dyrektora generalnego"], ["zastępca {}", "z-ca {}"]),
    "de": (["Geschäftsführer", "Vorstandsvorsitzender"], ["stellvertretender {}", "stv. {}", "Stellv. {}"]),
    "fr": (["directeur général", "PDG", "gérant"], ["{} adjoint", "{} suppléant"]),
    "es": (["director general", "gerente general", "presidenta"], ["{} adjunto", "vice {}", "{} suplente"]),
}
NOT_THEM = {
    "en": ["Assistant to the {}", "Secretary of the {}", "Office of the {}", "Former {}", "Ex-{}", "{} intern"],
    "ro": ["asistent {}", "secretară {}", "fost {}", "stagiar {}", "biroul {}"],
    "ru": ["помощник {}", "секретарь {}", "бывший {}", "стажёр {}", "приемная {}"],
    "pl": ["asystentka {}", "sekretarka {}", "były {}", "stażysta {}", "biuro prezesa, {}"],
    "de": ["Assistent {}", "Sekretärin {}", "ehemaliger {}", "Praktikant {}", "Büro des {}"],
    "fr": ["assistante du {}", "secrétaire du {}", "ancien {}", "stagiaire {}", "bureau du {}", "cabinet du {}"],
    "es": ["asistente del {}", "secretaria del {}", "antiguo {}", "becario {}", "oficina del {}", "ayudante del {}"],
}
DEPUTIES = [pattern.format(who) for chiefs, patterns in CHIEFS.values() for who, pattern in product(chiefs, patterns)]
OTHERS = [
    one.format(who) for language, patterns in NOT_THEM.items() for one, who in product(patterns, CHIEFS[language][0])
]


@pytest.mark.parametrize("title", DEPUTIES)
def test_a_deputy_of_somebody_at_the_top_is_a_vp(title: str) -> None:
    assert seniority_of(title) == seniority_of(title.upper()) == "vp"


@pytest.mark.parametrize("title", OTHERS)
def test_who_works_for_somebody_at_the_top_or_was_one_is_none_of_them(title: str) -> None:
    assert seniority_of(title) == seniority_of(title.upper()) == "individual"


@pytest.mark.parametrize("title", [who for chiefs, _ in CHIEFS.values() for who in chiefs])
def test_somebody_at_the_top_stays_one(title: str) -> None:
    assert seniority_of(title) == "c_level"


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ('mailto:"a";, b', []),
        ('mailto:"ana@nordsoft.ro";, b', ["ana@nordsoft.ro"]),
        ("\"mailto:'ana@nordsoft.ro'\"", ["ana@nordsoft.ro"]),
        ("mailto:mailto:ana@nordsoft.ro?subject=x", ["ana@nordsoft.ro"]),
        ("mailto:ana@nordsoft.ro;mailto:ion@nordsoft.ro", ["ana@nordsoft.ro", "ion@nordsoft.ro"]),
        ("mailto:", []),
        ("Ana Pop a@nordsoft.ro", []),
        ("Ana Pop a@x", []),
        ("Ana Maria Pop a@nordsoft.ro", []),
        ("a b c@nordsoft.ro", ["a+b+c@nordsoft.ro"]),
    ],
)
def test_a_link_or_a_name_before_an_address_is_no_part_of_it(typed: str, value: list[str]) -> None:
    assert [one.display for one in read_emails(typed, plus_is_blank=True)] == value
    person = normalize({"email": typed}, {}, None, plus_is_blank=True)
    assert person.fields.get("email") == (value[0] if value else None)
    assert person.raw["email"] == typed


@given(st.text(alphabet="abAB@.+;,:\"'<> mailto?", max_size=30))
def test_an_address_that_was_read_is_read_as_itself(typed: str) -> None:
    for one in read_emails(typed, plus_is_blank=True):
        again = read_email(one.display)
        assert again is not None
        assert again.key == one.key


HIDDEN, NO, YES = ["0", "false", "off", 0, False], ["no", "nie", "No", "nein"], ["yes", "1", "on", True, "tak"]


@pytest.mark.parametrize(("hidden", "yes"), list(product(HIDDEN, YES)))
def test_what_a_form_sends_for_an_unticked_box_says_nothing_beside_its_value(hidden: Any, yes: Any) -> None:
    assert read_consent([hidden, yes], "email_marketing") == "given"
    assert read_consent([yes, hidden], "email_marketing") == "given"
    assert read_consent([hidden], "email_marketing") == "refused"


@pytest.mark.parametrize(("no", "yes"), list(product(NO, [*YES, "I agree"])))
def test_a_yes_beside_a_no_gives_no_consent(no: str, yes: Any) -> None:
    assert read_consent([no, yes], "email_marketing") == "unknown"
    assert read_consent([yes, no, "0"], "email_marketing") == "unknown"
    assert read_consent([no, no], "email_marketing") == "refused"
