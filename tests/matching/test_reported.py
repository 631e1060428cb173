"""Values from reports of what people and forms send become what was meant (reported.yaml)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.matching.consent import read_consent, read_ticked
from app.matching.words import words
from tests.api import Api
from tests.submissions.sender import make_sender, process

REPORTED: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("reported.yaml").read_text("utf-8"))
ANSWERS = [(answer, state) for state, answers in REPORTED["consent"].items() for answer in answers]
WHOLE_REFUSALS = sorted(word for word in words("refusals") if "*" not in word)


@pytest.mark.parametrize(("answer", "state"), ANSWERS)
def test_only_a_known_yes_gives_consent_and_a_refusal_anywhere_refuses(answer: str, state: str) -> None:
    assert read_consent(answer) == state
    assert read_consent([answer.upper()]) == state


@pytest.mark.parametrize("agreement", sorted(words("agreements")))
def test_a_sentence_of_agreement_gives_consent(agreement: str) -> None:
    assert read_consent(f"{agreement} ABC") == "given"


@given(
    st.sampled_from(WHOLE_REFUSALS),
    st.sampled_from(sorted(words("agreements") | words("yes"))),
    st.sampled_from([" ", ", ", ". ", "\n"]),
    st.booleans(),
)
def test_no_sentence_with_a_refusal_gives_consent(refusal: str, agreement: str, between: str, first: bool) -> None:
    parts = (refusal, agreement) if first else (agreement, refusal)
    assert read_consent(between.join(parts)) == "refused"


@given(st.text(max_size=40))
def test_no_text_without_a_known_yes_gives_consent(text: str) -> None:
    assert read_consent(f"zzz {text.replace(',', ' ')} zzz") != "given"


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
    assert read_ticked(answer, label) == state


def test_a_refusal_among_ticked_boxes_refuses() -> None:
    assert read_consent(["I agree", "Please do not call me"]) == "refused"
    assert read_consent(["off", "on"]) == "given"


async def test_a_refusal_in_a_form_never_gives_consent(api: Api) -> None:
    sender = await make_sender(api)
    for number, (answer, _) in enumerate(ANSWERS):
        await sender.post({"email": f"consent{number}@reported.example", "newsletter": answer})
    await process(api)
    for number, (answer, state) in enumerate(ANSWERS):
        (lead,) = (await api.get(f"/v1/leads?email=consent{number}@reported.example"))["data"]
        assert lead["consents"].get("email_marketing", "unknown") == state, answer
