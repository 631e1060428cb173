"""From the answers of a form to a Person. Pure and without network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from app.matching.company import company_domain, is_individual, organization_domain, read_company
from app.matching.country import country_code, names_no_country
from app.matching.email import Email, names_nobody, read_emails
from app.matching.employees import read_employees
from app.matching.external_id import external_identity
from app.matching.mailboxes import is_disposable, is_free_mail
from app.matching.names import Name, read_name
from app.matching.no_identity import is_no_id
from app.matching.person import EmailStatus, Identity, Person
from app.matching.phone import Phone, read_phones
from app.matching.social import NETWORKS, Handle, read_handle
from app.matching.text import (
    as_text,
    collapse_spaces,
    is_placeholder,
    is_storable,
    plain,
    storable,
    storable_value,
    unescape,
)
from app.matching.title import role_of, seniority_of

CANONICAL: Final = (
    "email",
    "phone",
    "first_name",
    "last_name",
    "full_name",
    "company",
    "domain",
    "job_title",
    "role",
    "seniority",
    "industry",
    "employees",
    "country",
    "language",
    "website",
    "message",
)
# Further names that are read: their answers go to `custom` or become identities.
EXTRA: Final = ("salutation", "city", "state", "social", *NETWORKS)
RAW: Final = ("email", "phone", "country")  # always kept as typed, too
MULTI_VALUED: Final = ("email", "phone")  # all values of a list are read; of other answers only the first
MAX_TEXT: Final = 1_000
MAX_MESSAGE: Final = 10_000
MAX_EXTERNAL_ID: Final = 255
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9][\w:.\-]{0,63}")
_LOCALE: Final = re.compile(r"([A-Za-z]{2,3})(?:[-_.,;].*)?")


class _Answers:
    """The answers as clean text, each cut to its limit; `flags` collects what was changed."""

    def __init__(self, fields: Mapping[str, object]) -> None:
        self._fields = fields
        self._typed: dict[str, str] = {}
        self.flags: list[str] = []

    def text(self, name: str, limit: int = MAX_TEXT) -> str:
        """One answer, its HTML entities replaced."""
        typed = self.typed(name, limit)
        text = unescape(typed)
        if text is typed:
            return typed
        text = text if name == "message" else as_text(text)
        return text.strip()[:limit]

    def typed(self, name: str, limit: int = MAX_TEXT) -> str:
        """One answer as it was typed, with its HTML entities."""
        value = self._fields.get(name)
        if value is None:
            return ""
        if name in self._typed:
            return self._typed[name]
        if name in MULTI_VALUED and isinstance(value, list | tuple):
            value = "; ".join(text for text in map(as_text, value) if text)
        text = value.strip() if name == "message" and isinstance(value, str) else as_text(value)
        if not is_storable(text):
            self.flag("text_cleaned")
            text = storable(text)
        if len(text) > limit:
            self.flag(f"{name}_cut")
            text = text[:limit].rstrip()
        self._typed[name] = text
        return text

    def value(self, name: str) -> object:
        """The answer as received."""
        return self._fields.get(name)

    def flag(self, name: str) -> None:
        if name not in self.flags:
            self.flags.append(name)


def normalize(
    fields: Mapping[str, object], external_ids: Mapping[str, object], region: str | None, *, plus_is_blank: bool = False
) -> Person:
    """The person described by `fields` (names of CANONICAL and EXTRA) and by external ids by namespace.

    `region` is the ISO-2 code for national phone numbers, used when the country in the answers is missing or does
    not fit. `plus_is_blank`: the answers are of a form, where a plus that was not encoded is a blank by now. Never
    raises: what cannot be parsed is left as typed and named in `flags`.
    """
    answers = _Answers(fields)
    email, place = answers.text("email"), answers.text("country")
    # Spreadsheets prefix an apostrophe to mark a cell as text: it is not part of the number.
    phone = answers.text("phone").lstrip("'").strip()
    emails = tuple(one for one in read_emails(email, plus_is_blank=plus_is_blank) if not one.is_placeholder)
    main = emails[0] if emails else None
    country = country_code(place) if place else None
    phones = read_phones(phone, (country, region)) if phone else ()
    if plus_is_blank and phone:
        phones = read_phones(_as_sent(answers.value("phone")), (country, region), plus_is_blank=True) or phones
    name = read_name(answers.text("first_name"), answers.text("last_name"), answers.text("full_name"))
    handles = _handles(answers)
    located = {
        "phone": phones[0].e164 if phones else None,
        "country": country or (None if names_no_country(place) else place),
    }
    shown = {**_shown(answers, name, main, handles), **located}
    custom = _custom(answers, name, phones, shown["employees"])
    identities = _externals(external_ids, answers) + _emails(emails) + _phones(phones) + _socials(handles)
    if email and main is None:
        answers.flag(f"email_{_email_status(main, email)}")
    if phone and not phones:
        answers.flag("phone_invalid")
    person = Person(
        fields={field: value for field in CANONICAL if (value := shown[field]) not in (None, "")},
        raw=_raw(answers, shown),
        identities=tuple({identity.key: identity for identity in reversed(identities)}.values())[::-1],
        email_status=_email_status(main, email) if email else None,
        phone_status=("valid" if phones else "invalid") if phone else None,
        secondary_emails=tuple(email.display for email in emails[1:]),
        email_domain=main.domain if main else None,
        role_mailbox=main is not None and main.is_role,
        free_mail=main is not None and is_free_mail(main.domain),
        flags=tuple(answers.flags),
        custom={field: answer for field, answer in custom.items() if answer},
    )
    domain = _organization_domain(answers, person)
    return person if domain is None else _organization(person, domain)


def _raw(answers: _Answers, shown: Mapping[str, object]) -> dict[str, str]:
    """What was typed for e-mail, phone and country, and for a field whose value differs in more than blanks."""
    typed = {name: answers.typed(name, MAX_MESSAGE if name == "message" else MAX_TEXT) for name in CANONICAL}
    typed["phone"] = typed["phone"].lstrip("'").strip()
    return {name: text for name, text in typed.items() if text and (name in RAW or _is_changed(text, shown[name]))}


def _is_changed(typed: str, shown: object) -> bool:
    return shown is None or collapse_spaces(typed) != collapse_spaces(str(shown))


def _as_sent(value: object) -> str:
    """The cells of a form's answer in one, with the blanks that they begin with."""
    cells = value if isinstance(value, list) else [value]
    return ";".join(unescape(cell) for cell in cells if isinstance(cell, str))


def _organization_domain(answers: _Answers, person: Person) -> str | None:
    """The domain of a company of which no person is known; None for a person."""
    if person.names_somebody or "company" not in person.fields:
        return None
    return organization_domain((_given(answers.text("domain")), _given(answers.text("website"))))


def _organization(person: Person, domain: str) -> Person:
    identity = Identity("domain", "", domain, primary=True)
    return replace(person, kind="organization", identities=(*person.identities, identity))


def _shown(answers: _Answers, name: Name, main: Email | None, handles: list[Handle]) -> dict[str, str | int | None]:
    website, title = _website(answers, handles), _given(collapse_spaces(answers.text("job_title")))
    return {
        "email": main.display if main else None,
        "first_name": name.first,
        "last_name": name.last,
        "full_name": name.full,
        "company": read_company(answers.text("company"), beside_name=bool(name.first or name.last)),
        "domain": _domain(answers, website, main),
        "job_title": title,
        "role": _given(answers.text("role")) or (role_of(title) if title else None),
        "seniority": _given(answers.text("seniority")) or (seniority_of(title) if title else None),
        "industry": _given(collapse_spaces(answers.text("industry"))),
        "employees": read_employees(answers.text("employees")),
        "language": _language(answers.text("language")),
        "website": website,
        "message": answers.text("message", MAX_MESSAGE),
    }


def _custom(answers: _Answers, name: Name, phones: tuple[Phone, ...], headcount: object) -> dict[str, object]:
    if is_individual(answers.text("company")):
        answers.flag("individual")
    employees = answers.text("employees")
    return {
        "salutation": answers.text("salutation") or name.salutation,
        "city": answers.text("city"),
        "state": answers.text("state"),
        "employees": employees if employees != str(headcount) else None,
        "phone_extension": phones[0].extension if phones else None,
        "other_phones": [phone.e164 for phone in phones[1:]],
        "social": storable_value(answers.value("social")),
        **{network: text for network in NETWORKS if not _is_profile(text := answers.text(network), network)},
    }


def _is_profile(text: str, network: str) -> bool:
    handle = read_handle(text, network)
    return handle is not None and handle.person


def _given(text: str) -> str | None:
    return None if not text or is_placeholder(text) else text


def _language(text: str) -> str | None:
    match = _LOCALE.fullmatch(text)
    return match.group(1).lower() if match else text or None


def _website(answers: _Answers, handles: list[Handle]) -> str | None:
    text = _given(plain(answers.text("website")))
    return None if text and (handle := read_handle(text)) and handle in handles else text


def _domain(answers: _Answers, website: str | None, main: Email | None) -> str | None:
    addresses = _given(answers.text("domain")), website
    return company_domain(addresses, main.domain if main else None, role_mailbox=main is not None and main.is_role)


def _handles(answers: _Answers) -> list[Handle]:
    found = [read_handle(answers.text(network), network) for network in NETWORKS]
    social = answers.value("social")
    links = social if isinstance(social, list) else [social]
    typed = [unescape(storable(as_text(link))) for link in links[:20]]
    found += [read_handle(link) for link in [*typed, answers.text("website")]]
    return [handle for handle in found if handle]


def _email_status(main: Email | None, typed: str) -> EmailStatus:
    if main is None:
        return "placeholder" if is_placeholder(typed) or names_nobody(typed) else "invalid"
    if is_disposable(main.domain):
        return "disposable"
    if main.is_role:
        return "role"
    return "free" if is_free_mail(main.domain) else "valid"


def _externals(external_ids: Mapping[str, object], answers: _Answers) -> list[Identity]:
    found: list[Identity] = []
    for namespace, value in external_ids.items():
        text = storable(as_text(value)) if not isinstance(value, bool) else ""
        if is_no_id(text):
            continue
        if len(text) > MAX_EXTERNAL_ID or not _NAMESPACE.fullmatch(namespace):
            answers.flag("external_id_invalid")
            continue
        found.append(external_identity(namespace, text, primary=not found))
    return found


def _emails(emails: tuple[Email, ...]) -> list[Identity]:
    return [Identity("email", "", email.key, email is emails[0], email.is_role) for email in emails]


def _phones(phones: tuple[Phone, ...]) -> list[Identity]:
    return [Identity("phone", "", phone.e164, phone is phones[0], shared=True) for phone in phones]


def _socials(handles: list[Handle]) -> list[Identity]:
    return [Identity("social", handle.network, handle.handle) for handle in handles if handle.person]
