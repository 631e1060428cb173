"""Values from reports of what people and forms send become what was meant (reported.yaml)."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pycountry
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.matching.attribution import from_page_url
from app.matching.consent import read_consent, read_ticked
from app.matching.country import country_code
from app.matching.email import read_emails
from app.matching.employees import read_employees
from app.matching.normalize import normalize
from app.matching.text import as_text, fold
from app.matching.words import phrases, words
from app.sources.structure import parse_json
from tests.api import Api
from tests.sources.test_mapping import DOCUMENTS, one
from tests.submissions.sender import make_sender, process

REPORTED: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("reported.yaml").read_text("utf-8"))
ANSWERS = [(answer, state) for state, answers in REPORTED["consent"].items() for answer in answers]
KNOWN = phrases(
    fold, "agreeing", "agreements", "yes", "no", "promotion", "by_email", "by_phone", "informing", "sharing"
)
WHOLE_REFUSALS = sorted(word for word in words("refusals") if "*" not in word)


TO_PROCESS = [(answer, state) for state, answers in REPORTED["consent_to_process"].items() for answer in answers]


@pytest.mark.parametrize(
    ("purpose", "answer", "state"),
    [("email_marketing", *row) for row in ANSWERS] + [("process", *row) for row in TO_PROCESS],
)
def test_only_a_known_yes_gives_consent_and_a_refusal_anywhere_refuses(purpose: str, answer: str, state: str) -> None:
    assert read_consent(answer, purpose) == state
    if " Acme" not in answer:  # in capitals no word can be told to be the name of a company
        assert read_consent([answer.upper()], purpose) == state


@pytest.mark.parametrize("agreement", sorted(words("agreements")))
def test_a_sentence_of_agreement_gives_consent_to_what_it_speaks_of_alone(agreement: str) -> None:
    assert read_consent(agreement, "email_marketing") == "given"
    assert read_consent(f"{agreement} newsletter", "email_marketing") == "given"
    assert read_consent(f"{agreement} GDPR", "process") == "given"
    assert read_consent(f"{agreement} partner webinars", "partner_webinars") == "given"


@given(
    st.sampled_from(sorted(words("agreements") | words("yes"))),
    st.sampled_from(["newsletter", "e-mail", "SMS", "partners", "information"]),
    st.text("abcdefghijklmnopqrstuvwxyz", min_size=2, max_size=12).filter(lambda word: not KNOWN.search(word)),
    st.sampled_from(["email_marketing", "phone", "partners", "profiling"]),
)
def test_a_sentence_with_a_word_that_is_not_known_gives_no_consent(
    agreement: str, matter: str, word: str, purpose: str
) -> None:
    for said in (f"{agreement} {word} {matter}", f"{agreement}, {matter} {word}"):
        assert read_consent(said, purpose) != "given", said


@pytest.mark.parametrize("doubt", sorted(words("doubts")))
def test_an_exception_or_condition_gives_no_consent(doubt: str) -> None:
    for purpose in ("email_marketing", "phone", "process"):
        assert read_consent(f"Yes, I agree {doubt} newsletter", purpose) != "given"
        assert read_consent(f"I agree to the privacy policy, {doubt} the newsletter", purpose) != "given"


@pytest.mark.parametrize(
    ("purpose", "matter"),
    [
        ("email_marketing", "phone calls"),
        ("email_marketing", "partners"),
        ("phone", "e-mails"),
        ("partners", "e-mails"),
    ],
)
def test_a_yes_to_one_purpose_is_none_to_another(purpose: str, matter: str) -> None:
    assert read_consent(f"I agree to {matter}", purpose) == "unknown"


@given(
    st.sampled_from(WHOLE_REFUSALS),
    st.sampled_from(sorted(words("agreements") | words("yes"))),
    st.sampled_from([" ", ", ", ". ", "\n"]),
    st.booleans(),
)
def test_no_sentence_with_a_refusal_gives_consent(refusal: str, agreement: str, between: str, first: bool) -> None:
    parts = (refusal, agreement) if first else (agreement, refusal)
    assert read_consent(between.join(parts), "email_marketing") == "refused"


@given(st.text(max_size=40))
def test_no_text_without_a_known_yes_gives_consent(text: str) -> None:
    assert read_consent(f"zzz {text.replace(',', ' ')} zzz", "email_marketing") != "given"


@pytest.mark.parametrize(
    ("answer", "label", "state"),
    [
        ("on", "Do not e-mail me", "refused"),
        (True, "Please do not call me", "refused"),
        ("", "Do not e-mail me", "unknown"),
        (False, "Keine Werbung", "unknown"),
        ("on", "Send me news", "given"),
        (False, "Send me news", "refused"),
    ],
)
def test_a_ticked_box_whose_label_refuses_is_a_refusal(answer: object, label: str, state: str) -> None:
    assert read_ticked(answer, "email_marketing", label) == state


def test_a_refusal_among_ticked_boxes_refuses() -> None:
    assert read_consent(["I agree", "Please do not call me"], "phone") == "refused"
    assert read_consent(["off", "on"], "process") == "given"


@pytest.mark.parametrize("row", REPORTED["phones"], ids=lambda row: row["typed"])
def test_an_international_prefix_wins_over_the_region(row: dict[str, Any]) -> None:
    sent = [(row["typed"], False)] + ([(row["typed"].replace("+", " "), True)] if row.get("form") else [])
    for typed, plus_is_blank in sent:
        person = normalize({"phone": typed}, {}, "DE", plus_is_blank=plus_is_blank)
        assert [one.value for one in person.identities] == row["value"]


@pytest.mark.parametrize("prefix", ["+", "++", "+ ", "(+", "+(", "00", "(00", "00 ", "+00"])
@pytest.mark.parametrize("region", ["DE", "US", "RU", "JP", "AU", "BR", "IT", None])
def test_an_international_prefix_wins_in_every_region(prefix: str, region: str | None) -> None:
    typed = f"{prefix}40{')' if '(' in prefix else ''} 721 223 344"
    assert normalize({"phone": typed}, {}, region).fields["phone"] == "+40721223344"


async def test_a_form_with_unencoded_signs_gives_the_number_and_address_that_were_typed(api: Api) -> None:
    sender = await make_sender(api, "html-form", defaults={"region": "DE"})
    for phone in ("(+40)721223344", "++40721223344", "+ 40 721 223 344".replace(" ", "%20"), "(0040)721223344"):
        body = f"email=my+mail+is+ion11@bla.com&phone={phone}"
        (item,) = (await sender.post_and_process(body, Content_Type="application/x-www-form-urlencoded"))["items"]
        assert (item["mapped"]["fields"]["phone"], item["mapped"]["email_status"]) == ("+40721223344", "invalid"), phone


async def test_a_refusal_in_a_form_never_gives_consent(api: Api) -> None:
    sender = await make_sender(api)
    for number, (answer, _) in enumerate(ANSWERS):
        await sender.post({"email": f"consent{number}@reported.example", "newsletter": answer})
    await process(api)
    for number, (answer, state) in enumerate(ANSWERS):
        (lead,) = (await api.get(f"/v1/leads?email=consent{number}@reported.example"))["data"]
        assert lead["consents"].get("email_marketing", "unknown") == state, answer


@pytest.mark.parametrize("row", REPORTED["emails"], ids=lambda row: ascii(row["typed"]))
def test_a_cell_has_the_addresses_that_were_meant(row: dict[str, Any]) -> None:
    found = read_emails(row["typed"], plus_is_blank=row.get("form", False))
    assert [email.display for email in found] == row["value"]


@given(
    st.sampled_from("\u00ad\u034f\u061c\u180e\u200b\u200f\u202a\u202e\u2060\u2066\u2069\ufe0f\ufeff\U000e0020"),
    st.integers(0, 8),
)
def test_an_invisible_mark_changes_no_identity_and_no_name(mark: str, place: int) -> None:
    fields = {"email": "ana@e.com", "phone": "+40721223344", "first_name": "Ana-Maria", "last_name": "Constantin"}
    marked = {name: value[:place] + mark + value[place:] for name, value in fields.items()}
    assert normalize(marked, {"crm": f"1{mark}2"}, None) == normalize(fields, {"crm": "12"}, None)


@given(st.text("\x00\x01\x08\x0e\x1b\x7f\x80 ", max_size=3), st.text("\x00\x01\x1b\x7f ", max_size=3))
def test_control_characters_around_an_identity_go(before: str, after: str) -> None:
    sent = parse_json(json.dumps({"email": f"{before}ana@e.com{after}", "phone": f"{before}+40721223344{after}"}))
    person = normalize(sent, {"crm": as_text(f"12{after}")}, None)
    assert [one.value for one in person.identities] == ["12", "ana@e.com", "+40721223344"]


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
async def test_a_nul_behind_an_address_goes(api: Api, kind: str) -> None:
    sender = await make_sender(api)
    body = '{"email": "ana@a.com\\u0000"}' if kind == "application/json" else "email=ana%40a.com%00"
    (item,) = (await sender.post_and_process(body, Content_Type=kind))["items"]
    assert (item["verdict"], item["mapped"]["fields"]["email"]) == ("lead", "ana@a.com")


@pytest.mark.parametrize(("typed", "value"), REPORTED["employees"].items())
def test_a_number_of_employees_is_the_lower_end_of_what_was_written(typed: str, value: int | None) -> None:
    assert read_employees(typed) == value


@pytest.mark.parametrize("row", REPORTED["names"], ids=lambda row: " ".join(row["typed"]))
def test_a_word_for_nothing_is_no_name_only_when_alone(row: dict[str, Any]) -> None:
    parts = ("first_name", "last_name", "full_name")
    typed = dict(zip(parts, row["typed"], strict=True))
    person = normalize(typed, {}, None)
    assert [person.fields.get(part) for part in parts] == row["value"]
    lost = {part: text for part, text in typed.items() if text and part not in person.fields}
    assert lost.items() <= person.raw.items()


@pytest.mark.parametrize("row", REPORTED["companies"], ids=lambda row: row["typed"])
def test_a_word_for_nothing_may_name_the_company_of_somebody(row: dict[str, Any]) -> None:
    beside = normalize({"first_name": "Ana", "company": row["typed"]}, {}, None)
    alone = normalize({"company": row["typed"]}, {}, None)
    assert (beside.fields.get("company"), alone.fields.get("company")) == (row["beside"], row["alone"])
    assert row["alone"] or alone.raw["company"] == row["typed"]


@pytest.mark.parametrize(("typed", "code"), REPORTED["countries"].items())
def test_a_country_is_found_by_its_names_in_any_language(typed: str, code: str | None) -> None:
    assert country_code(typed) == code


@pytest.mark.parametrize("typed", REPORTED["no_country"])
def test_a_word_of_a_list_of_countries_is_no_country_and_stays_in_raw(typed: str) -> None:
    person = normalize({"country": typed}, {}, None)
    assert ("country" in person.fields, person.raw["country"]) == (False, typed)


@pytest.mark.parametrize("country", list(pycountry.countries), ids=lambda country: country.alpha_3)
def test_no_code_of_sports_hides_a_code_of_iso_3166(country: Any) -> None:
    assert country_code(country.alpha_3) == country_code(country.alpha_2) == country.alpha_2


@pytest.mark.parametrize("row", REPORTED["links"], ids=lambda row: row["query"])
def test_no_entity_cuts_a_value_of_a_link(row: dict[str, Any]) -> None:
    found = from_page_url(f"https://a.example/?{row['query']}")
    assert {name: value for name, value in found.items() if name != "landing_page"} == row["value"]


@given(st.text("abR&#+%= ", min_size=1, max_size=12).map(str.strip).filter(bool))
def test_a_value_of_an_escaped_link_comes_back_whole(value: str) -> None:
    link = f"https://a.example/?utm_source={quote_plus(value)}&utm_medium=b"
    found = from_page_url(html.escape(link))
    assert (found["source"], found["medium"]) == (value, "b")


def test_a_national_number_is_read_by_a_country_in_any_language() -> None:
    assert normalize({"phone": "612 34 56 78", "country": "España"}, {}, None).fields["phone"] == "+34612345678"


def test_entities_of_a_page_link_are_undone() -> None:
    found = from_page_url("https://a.example/?utm_source=a&amp;utm_medium=b&#38;gclid=c&copy=d")
    assert (found["source"], found["medium"], found["gclid"]) == ("a", "b", "c")


@pytest.mark.parametrize("row", REPORTED["texts"], ids=lambda row: row["body"])
async def test_text_is_decoded_as_it_was_meant_and_a_guess_is_flagged(api: Api, row: dict[str, Any]) -> None:
    sender = await make_sender(api, "salesforce-web-to-lead")
    kind = "application/x-www-form-urlencoded" + (f"; charset={row['charset']}" if "charset" in row else "")
    (item,) = (await sender.post_and_process(f"email=a@e.com&{row['body']}", Content_Type=kind))["items"]
    assert item["mapped"]["fields"]["last_name"] == row["value"]
    assert ("text_guessed" in item["mapped"]["flags"]) == row.get("guessed", False)


async def test_the_parts_of_a_multipart_form_are_decoded_by_their_own_set(api: Api) -> None:
    sender = await make_sender(api, "html-form")
    part = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n%s\r\n%s\r\n'
    body = part % (b"email", b"", b"a@e.com") + part % (
        b"nachname",
        b"Content-Type: text/plain; charset=iso-8859-2\r\n",
        b"\xa3o\xb6",
    )
    answer = await sender.post_and_process(body + b"--x--\r\n", Content_Type="multipart/form-data; boundary=x")
    assert answer["items"][0]["mapped"]["fields"]["last_name"] == "Łoś"


@pytest.mark.parametrize(
    "body", ['{"email":"a@e.com","message":"a\nb\tc"}', '{"email":"a@e.com","message":"a\\nb\\tc"}']
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
async def test_json_with_raw_line_breaks_is_read_on_ingest(api: Api, body: str, encoding: str) -> None:
    sender = await make_sender(api)
    answer = await sender.post_and_process(body.encode(encoding), Content_Type="application/json")
    assert answer["items"][0]["mapped"]["fields"]["message"] == "a\nb\tc"


WIDE = ["utf-16", "UTF-16LE", "utf-16be", "utf-32"]


@pytest.mark.parametrize("sent", ["utf-8", "latin-1", *WIDE])
@pytest.mark.parametrize("name", ["Pop", "Muñoz", "Muñozo"])
@pytest.mark.parametrize("declared", [*WIDE, "cp500"])
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_wrongly_declared_set_destroys_no_text(kind: str, declared: str, name: str, sent: str) -> None:
    if declared == "cp500" or (sent in WIDE and (kind.startswith("multipart") or declared.lower() != sent.lower())):
        sent = "utf-8"
    bodies = {
        "application/json": f'{{"email": "ana@acme.example", "last_name": "{name}"}}',
        "application/x-www-form-urlencoded": f"email=ana%40acme.example&last_name={name}",
        "multipart/form-data": '--x\r\nContent-Disposition: form-data; name="email"\r\n\r\nana@acme.example\r\n'
        f'--x\r\nContent-Disposition: form-data; name="last_name"\r\n\r\n{name}\r\n--x--\r\n',
    }
    content_type = f"{kind}; charset={declared}; boundary=x"
    item = one(bodies[kind].encode(sent), DOCUMENTS["html-form"], content_type=content_type)
    assert item.person is not None
    assert (item.person.fields["email"], item.person.fields["last_name"]) == ("ana@acme.example", name)


def test_percent_encoded_bytes_are_kept_where_a_wide_set_is_declared() -> None:
    for encoded in ("Mu%C3%B1oz", "Mu%F1oz", "Mu%F1ozo"):
        body = f"email=ana%40acme.example&last_name={encoded}".encode()
        item = one(body, DOCUMENTS["html-form"], content_type="application/x-www-form-urlencoded; charset=utf-16")
        assert item.person is not None
        assert item.person.fields["last_name"] in ("Muñoz", "Muñozo")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("a\\\nb", "a\\\nb"),
        ("a\\\r\nb", "a\\\r\nb"),
        ("a\\\tb", "a\\\tb"),
        (r"C:\Program Files\Acme", "C:\\Program Files\\Acme"),
        (r"it\'s 5\% or \$5", r"it\'s 5\% or \$5"),
        (r"\u12 and \uZZZZ", r"\u12 and \uZZZZ"),
        (r"A\u0042\\ \q \"x\"", 'AB\\ \\q "x"'),
    ],
)
def test_a_backslash_that_escapes_nothing_is_a_character(written: str, value: str) -> None:
    item = one(f'{{"email": "ana@acme.example", "message": "{written}"}}'.encode(), content_type="application/json")
    assert item.person is not None
    assert item.person.fields["message"] == value


ANSWER_OF = {"email": "ana@e.com", "phone": "+40721223344", "website": "https://acme.example"}


@pytest.mark.parametrize(("name", "field"), REPORTED["form_fields"].items())
async def test_a_field_of_a_form_is_found_by_its_common_names(api: Api, name: str, field: str) -> None:
    sender = await make_sender(api, "html-form")
    sent = ANSWER_OF.get(field, "Ana")
    body = {name: sent} if field == "email" else {name: sent, "email": "ana@e.com"}
    form = "&".join(f"{quote_plus(key)}={quote_plus(value)}" for key, value in body.items())
    (item,) = (await sender.post_and_process(form, Content_Type="application/x-www-form-urlencoded"))["items"]
    assert (item["verdict"], item["mapped"]["fields"][field]) == ("lead", sent)


async def test_a_plus_that_became_a_blank_is_restored_in_forms_only(api: Api) -> None:
    sender = await make_sender(api, "html-form", defaults={"region": "DE"})
    body = "email=ana+news@e.com&phone=+40721223344"
    (item,) = (await sender.post_and_process(body, Content_Type="application/x-www-form-urlencoded"))["items"]
    assert item["mapped"]["fields"]["email"] == "ana+news@e.com"
    assert item["mapped"]["fields"]["phone"] == "+40721223344"
    (item,) = (await sender.post_and_process({"email": "ana news@e.com", "tel": "030 1234567"}))["items"]
    assert (item["mapped"]["email_status"], item["mapped"]["fields"]["phone"]) == ("invalid", "+49301234567")


@pytest.mark.parametrize("path", ["/v1/leads", "/v1/contacts"])
async def test_a_filter_by_an_address_with_a_blank_is_refused_with_a_hint(api: Api, path: str) -> None:
    answer = await api.call("GET", f"{path}?email=ana+news@e.com")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["code"] == "email_invalid"
    assert "%2B" in answer.text
