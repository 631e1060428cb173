"""Identity resolution: the order of the identities, and conflicts between them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from app.matching.identity import Candidate, Conflict, keys, resolve
from app.matching.normalize import normalize
from app.matching.person import Person

A, B, C = (UUID(int=number) for number in (1, 2, 3))
PHONE = "+40722123456"


def make_person(external_ids: dict[str, str] | None = None, **fields: Any) -> Person:
    return normalize(fields, external_ids or {}, "RO")


def candidate(kind: str, value: str, lead: UUID, name: str = "", namespace: str = "", **more: Any) -> Candidate:
    first, _, last = name.partition(" ")
    return Candidate(kind, namespace, value, lead, first or None, last or None, **more)


ANNA = make_person(
    {"crm:id": "7"}, email="anna@exemplu.ro", phone=PHONE, full_name="Anna Pop", linkedin="linkedin.com/in/anna"
)
BY_ID = candidate("external", "7", A, namespace="crm:id")
BY_EMAIL = candidate("email", "anna@exemplu.ro", B)
BY_PHONE = candidate("phone", PHONE, C, "Anna Pop")
BY_OTHER_PHONE = candidate("phone", PHONE, C, "Bob Ion")
BY_SOCIAL = candidate("social", "anna", C, namespace="linkedin")


def test_identities_are_ordered_by_precedence() -> None:
    assert [identity.kind for identity in keys(ANNA)] == ["external", "email", "phone", "social"]


@pytest.mark.parametrize(
    ("candidates", "lead", "conflicts"),
    [
        ([], None, []),
        ([BY_ID], A, []),
        ([BY_EMAIL], B, []),
        ([BY_PHONE], C, []),
        ([BY_SOCIAL], C, []),
        ([BY_OTHER_PHONE], None, [(C, "phone_other_name")]),
        ([candidate("phone", PHONE, C)], C, []),
        ([candidate("phone", PHONE, C, "Xenia Pop")], None, [(C, "phone_other_name")]),
        ([candidate("phone", PHONE, C, "Pop Anna", has_own_email=True)], C, []),
        ([candidate("phone", PHONE, C, has_own_email=True)], None, [(C, "phone_other_email")]),
        ([BY_ID, BY_EMAIL], B, [(A, "external")]),
        ([BY_PHONE, BY_EMAIL], B, [(C, "phone")]),
        ([BY_OTHER_PHONE, BY_EMAIL], B, [(C, "phone_other_name")]),
        ([BY_ID, BY_PHONE], A, [(C, "phone")]),
        ([BY_SOCIAL, BY_ID], A, [(C, "social")]),
        ([BY_SOCIAL, BY_PHONE], C, []),
        ([candidate("external", "7", A, namespace="other:id")], None, []),
        ([candidate("email", "ANNA@exemplu.ro", A)], None, []),
    ],
)
def test_the_first_match_decides_and_other_leads_are_conflicts(
    candidates: list[Candidate], lead: UUID | None, conflicts: list[Any]
) -> None:
    for order in (candidates, candidates[::-1]):
        match = resolve(ANNA, order)
        assert match.lead_id == lead
        assert match.conflicts == tuple(Conflict(*conflict) for conflict in conflicts)


@pytest.mark.parametrize(
    ("name", "other", "is_same"),
    [
        ("Jan Kowalski", "jan kowalski", True),
        ("Jan Kowalski", "Jan", False),
        ("Jan Kowalski", "", False),
        ("", "", True),
        ("", "Jan Kowalski", False),
        ("Jan Kowalski", "Ewa Kowalska", False),
    ],
)
def test_a_role_mailbox_matches_only_with_the_same_name(name: str, other: str, is_same: bool) -> None:
    match = resolve(
        make_person(email="biuro@firma.pl", full_name=name), [candidate("email", "biuro@firma.pl", A, other)]
    )
    assert match.lead_id == (A if is_same else None)
    assert match.conflicts == (() if is_same else (Conflict(A, "email_other_name"),))


def test_a_secondary_address_matches_only_with_a_compatible_name() -> None:
    person = make_person(email="anna@exemplu.ro, boss@exemplu.ro", full_name="Anna Pop")
    boss = candidate("email", "boss@exemplu.ro", A, "Bob Ion")
    match = resolve(person, [boss])
    assert (match.lead_id, match.conflicts) == (None, (Conflict(A, "email_other_name"),))
    assert match.new_identities == person.identities[:1]
    assert resolve(person, [candidate("email", "boss@exemplu.ro", A, "ANNA POP")]).lead_id == A


def test_of_several_leads_with_one_identity_the_open_one_wins_then_the_latest() -> None:
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    rows = [
        candidate("email", "biuro@firma.pl", A, latest_activity_at=late),
        candidate("email", "biuro@firma.pl", B, open_journey=True, latest_activity_at=early),
        candidate("email", "biuro@firma.pl", C),
    ]
    person = make_person(email="biuro@firma.pl")
    assert resolve(person, rows).lead_id == B
    assert [conflict.lead_id for conflict in resolve(person, rows).conflicts] == [A, C]
    assert resolve(person, [rows[0], rows[2]]).lead_id == A


@pytest.mark.parametrize("name", ["", "Anna", "Anna Pop"])
def test_a_phone_of_two_leads_is_nobodys_but_stays_with_the_lead_that_an_arrival_had(name: str) -> None:
    rows = [candidate("phone", PHONE, A, "Anna Pop"), candidate("phone", PHONE, B)]
    person = make_person(phone=PHONE, full_name=name)
    match = resolve(person, rows)
    assert (match.lead_id, set(match.conflicts)) == (None, {Conflict(A, "phone_shared"), Conflict(B, "phone_shared")})
    assert match.shared == {("phone", "", PHONE)}
    again = resolve(person, rows, earlier_lead_id=A)
    assert (again.lead_id, again.conflicts) == (A, (Conflict(B, "phone_shared"),))
    assert resolve(make_person(phone=PHONE, full_name="Eva Lup"), rows, earlier_lead_id=A).lead_id is None


def test_a_phone_of_a_person_and_an_organization_is_the_persons() -> None:
    rows = [candidate("phone", PHONE, A, "Anna Pop"), candidate("phone", PHONE, B, lead_kind="organization")]
    match = resolve(ANNA, rows)
    assert (match.lead_id, match.conflicts) == (A, (Conflict(B, "organization"),))


def test_identities_that_another_lead_has_exclusively_are_not_added() -> None:
    match = resolve(ANNA, [BY_EMAIL, BY_ID, BY_OTHER_PHONE])
    # A phone may belong to several leads; an external id only to one.
    assert [identity.kind for identity in match.new_identities] == ["phone", "social"]
    assert resolve(ANNA, []).new_identities == ANNA.identities
