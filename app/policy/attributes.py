"""The catalogue of what conditions can name. `GET /v1/attributes` shows it, and documents are checked by it.

An attribute is read by the condition word `field`, or is a condition word of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, Literal

from app.matching.employees import MAX_EMPLOYEES
from app.policy.facts import CRITERIA
from app.policy.vocabularies import COUNTRIES, CURRENCIES

AttributeType = Literal["text", "number", "flag", "any", "condition"]
COMPARISONS: Final[Mapping[AttributeType, tuple[str, ...]]] = {
    "text": ("is", "in", "in_list", "has_word", "present"),
    "number": ("is", "in", "between", "at_least", "at_most", "present"),
    "flag": ("is", "present"),
    "any": ("is", "in", "in_list", "has_word", "between", "at_least", "at_most", "present"),
    "condition": (),
}


@dataclass(frozen=True, slots=True)
class Attribute:
    """`values`: all that it can be, if these are known; `least` and `most`: of a number, the smallest and the largest.

    `condition`: an example, as it stands in a policy.
    """

    name: str
    type: AttributeType
    about: str
    examples: tuple[object, ...]
    values: tuple[str, ...] = ()
    word: str = "field"
    comparisons: tuple[str, ...] = ()
    condition: Mapping[str, object] | None = None
    least: int | None = None
    most: int | None = None

    def has_number(self, number: float | Decimal) -> bool:
        """Whether the number is in its range."""
        return (self.least is None or number >= self.least) and (self.most is None or number <= self.most)

    @property
    def range(self) -> str:
        """Its range in words."""
        return f"{self.least:,} or more" if self.most is None else f"from {self.least:,} to {self.most:,}"


def of_field(
    name: str,
    type: AttributeType,
    about: str,
    *examples: object,
    values: tuple[str, ...] = (),
    least: int | None = None,
    most: int | None = None,
) -> Attribute:
    """An attribute that the word `field` reads."""
    first = examples[0] if examples else values[0]
    compared: Mapping[str, object] = {"at_least": first} if type == "number" else {"is": first}
    examples = examples or values[:3]
    condition = {"field": name, **compared}
    return Attribute(name, type, about, examples, values, "field", COMPARISONS[type], condition, least, most)


def of_word(
    word: str, type: AttributeType, about: str, argument: object, *, values: tuple[str, ...] = (), name: str = ""
) -> Attribute:
    """An attribute that is a condition word of its own; `argument` is an example of what follows the word."""
    comparisons = tuple(argument) if isinstance(argument, dict) else ("is",) if isinstance(argument, bool) else ("in",)
    examples = tuple(argument) if isinstance(argument, list) else (argument,)
    return Attribute(name or word, type, about, examples, values, word, comparisons, {word: argument})


MOST_DAYS: Final = 84_006  # from 1970 to 2200, as dates can be
EMAIL_STATES: Final = ("valid", "invalid", "placeholder", "role", "free", "disposable")
CHANNELS: Final = (
    *("web_form", "phone", "chat", "social", "email", "referral", "purchased_list", "trade_show", "webinar", "event"),
    *("partner", "import", "api"),
)
ROLES: Final = ("it", "finance", "procurement", "marketing", "sales", "operations", "production", "hr", "legal")
RANKS: Final = ("c_level", "vp", "director", "head", "manager", "individual")
CONSENT_STATES: Final = ("given", "pending", "refused", "withdrawn", "unknown")

_FIELDS: Final = (
    of_field("email", "text", "The e-mail address.", "anna@nordsoft.ro"),
    of_field("email_domain", "text", "The part of the e-mail address after the @.", "nordsoft.ro"),
    of_field("email_status", "text", "What the e-mail address is.", values=EMAIL_STATES),
    of_field("free_mail", "flag", "Whether the address is of a free-mail provider, such as gmail.com.", True),
    of_field("phone", "text", "The telephone number with its country code.", "+40215550100"),
    of_field("phone_status", "text", "What the telephone number is.", values=("valid", "invalid", "shared")),
    of_field("first_name", "text", "The first name.", "Anna"),
    of_field("last_name", "text", "The last name.", "Zvoristeanu"),
    of_field("full_name", "text", "The whole name.", "Anna Zvoristeanu"),
    of_field("job_title", "text", "The job title as it was typed.", "Head of Sales"),
    of_field(
        "seniority",
        "text",
        "The rank that the job title gives in EN, DE, RO, PL or RU, or that somebody set.",
        values=tuple(rank for rank in RANKS if rank != "head"),
    ),
    of_field(
        "rank",
        "text",
        "The seniority if it is one of these words, else what the job title says; heads of departments apart.",
        values=RANKS,
    ),
    of_field(
        "role",
        "text",
        "The field of work that the job title gives, or that somebody set.",
        values=ROLES,
    ),
    of_field("company", "text", "The name of the company.", "Nordsoft"),
    of_field("domain", "text", "The company's domain, from website or e-mail; none for free mail.", "nordsoft.ro"),
    of_field("website", "text", "The website.", "https://www.nordsoft.ro"),
    of_field("industry", "text", "The industry as it was given.", "software"),
    of_field("employees", "number", "The number of employees.", 120, least=0, most=MAX_EMPLOYEES),
    of_field("country", "text", "The country as two letters (ISO 3166).", "RO", values=COUNTRIES),
    of_field("language", "text", "The language of the person.", "ro"),
    of_field("message", "text", "What the person wrote.", "Please call me."),
    of_field("requirements", "text", "The custom answer `requirements`.", "An offer for 20 seats"),
    of_field("kind", "text", "Whether the lead is a person or an organization.", values=("person", "organization")),
    of_field("channel", "text", "The channel by which the lead came first.", values=CHANNELS),
    of_field("source", "text", "The name that the source had when the lead came from it first.", "Website form"),
    of_field("utm_source", "text", "The source of the first touch.", "newsletter"),
    of_field("utm_medium", "text", "The medium of the first touch.", "cpc"),
    of_field("utm_campaign", "text", "The campaign of the first touch.", "spring"),
    of_field("business", "text", "Whether the lead was a customer before.", values=("new", "existing")),
    *(
        of_field(
            f"bant.{criterion}.status",
            "text",
            f"What the latest confirmation says about {criterion}.",
            values=("confirmed", "denied", "unknown"),
        )
        for criterion in CRITERIA
    ),
    *(
        of_field(f"bant.{criterion}.value", "text", f"The value of the latest confirmation about {criterion}.", "yes")
        for criterion in CRITERIA
    ),
    of_field("bant.budget.amount", "number", "The amount of the latest confirmation about the budget.", 12000, least=0),
    of_field("bant.budget.currency", "text", "The currency of that amount (ISO 4217).", "EUR", values=CURRENCIES),
    of_field(
        "bant.timing.due_in_days",
        "number",
        "Days until the date that the latest confirmation names.",
        90,
        least=-MOST_DAYS,
        most=MOST_DAYS,
    ),
)
CUSTOM: Final = of_field("custom.NAME", "any", "The custom answer NAME, whether or not a lead has it.", "yes")
CONSENT: Final = of_word(
    "consent",
    "condition",
    "The state of the consent for a purpose; `unknown` where nothing was said.",
    {"purpose": "email_marketing", "state": ["given"]},
    values=CONSENT_STATES,
)
PERSONA: Final = of_word("persona", "condition", "The personas that the lead matches.", ["decision_maker"])
_AT_LEAST: Final[Mapping[str, tuple[str, float]]] = {
    "fit": ("The points for who the lead is.", 40),
    "engagement": ("The points for what the lead did.", 30),
    "level": ("The level of qualification, 0 to 6.", 2),
    "likelihood": ("How likely the lead is to become a customer, by the tenant's model: from 0 to 1.", 0.3),
    "attempts": ("The contact attempts since the lead was last assigned.", 3),
    "identities": ("The addresses, numbers and ids of the lead.", 1),
}
_WORDS: Final = (
    *(of_word(word, "number", about, {"at_least": number}) for word, (about, number) in _AT_LEAST.items()),
    of_word(
        "activity",
        "condition",
        "The activities of some types or of a kind, in a window of days or since the baseline.",
        {"types": ["demo_request"], "kind": "interest", "within_days": 30, "since": "baseline", "min_count": 1},
    ),
    of_word(
        "sequence",
        "condition",
        "Activities of these types, in this order, within a number of days.",
        {"types": ["webinar", "price_list"], "within_days": 14},
    ),
    of_word(
        "bant",
        "condition",
        "How many criteria are confirmed, which ones, by whom, and how long ago at most.",
        {"min": 3, "must": ["need"], "by": "people", "within_days": 30},
    ),
    CONSENT,
    PERSONA,
    of_word("exception", "flag", "Whether the lead counts as in the ideal customer profile by an exception.", True),
    of_word("contactable", "flag", "Whether the lead has an e-mail address or a telephone number.", True),
    of_word("owner", "condition", "Who owns the lead: the actor, nobody, or a user of the actor's team.", ["actor"]),
    of_word("actor", "condition", "The role of who acts.", {"roles": ["manager"]}),
    of_word("assignable", "condition", "Whether the request names a user for this route, or the route a pool.", "sdr"),
    of_word("from", "condition", "The stage that is left.", ["recycled"]),
    of_word("stage", "condition", "The stage that is entered.", ["mql"]),
    of_word("reason", "condition", "The reason that the request gives.", ["timing"]),
    of_word("entry", "condition", "How the source lets a lead begin.", ["suspect"]),
    of_word("closed_for", "number", "For how long the journey has been closed.", {"at_most_days": 30}),
    of_word("newest_journey", "flag", "Whether the journey is the latest one of the lead.", True),
    of_word("closing_reason", "condition", "Whether the journey was closed for good.", "permanent"),
    of_word("opportunity_class", "condition", "The class of the opportunity's stage.", {"not_in": ["won", "lost"]}),
    of_word("wake_at", "condition", "Whether the day of the review has come.", "reached"),
)
ATTRIBUTES: Final[Mapping[str, Attribute]] = {one.name: one for one in (*_FIELDS, CUSTOM, *_WORDS)}
FIELDS: Final[Mapping[str, Attribute]] = {one.name: one for one in _FIELDS}


def field_attribute(name: str) -> Attribute | None:
    """What the word `field` reads by this name; None if the catalogue has none."""
    if name.startswith("custom.") and len(name) > len("custom."):
        return custom_attribute(name.removeprefix("custom."))
    return FIELDS.get(name)


def custom_attribute(name: str, type: AttributeType = "any", examples: tuple[object, ...] = ()) -> Attribute:
    """The custom answer of this name."""
    about = f"The custom answer {name}."
    known = of_field(f"custom.{name}", type, about, *(examples or CUSTOM.examples))
    return replace(known, comparisons=COMPARISONS["any"], examples=examples)


def consent_attribute(purpose: str) -> Attribute:
    """The consent for this purpose."""
    argument = {"purpose": purpose, "state": ["given"]}
    return of_word(
        "consent",
        "condition",
        f"The state of the consent for {purpose}.",
        argument,
        values=CONSENT_STATES,
        name=f"consent.{purpose}",
    )
