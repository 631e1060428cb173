"""Attribution of a touch: explicit answers, then hidden fields, then the page's query, then the source's defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from app.matching.channel import DOORS
from app.matching.company import registrable_domain
from app.matching.text import as_text, is_unresolved, storable, unescape, unescape_link
from app.matching.words import words

CLICK_IDS: Final = ("gclid", "gbraid", "wbraid", "fbclid", "msclkid", "li_fat_id", "ttclid")
UTM: Final = {f"utm_{name}": name for name in ("source", "medium", "campaign", "term", "content")}
HIDDEN_KEYS: Final = {**UTM, "utm_id": "campaign_id"} | {name: name for name in CLICK_IDS}
MAX_VALUE: Final = 1_000
_NOWHERE: Final = words("nowhere")
# What names the form and the visitor, and not where somebody came from.
NO_ORIGIN: Final = frozenset({"landing_page", "form_id", "visitor_id"})
Weight = tuple[bool, bool, bool]


def weight(touch: Mapping[str, Any]) -> Weight:
    """How much a touch says of where somebody came from: an origin more than where the form stands, that more than the
    door alone (`web_form`), that more than nothing. `PAST` in leads/past_sql.py has the same order."""
    said = {name for name, value in touch.items() if name != "channel" or value not in DOORS}
    return bool(said), bool(said - NO_ORIGIN), bool(touch)


def attributed(*layers: Mapping[str, object]) -> dict[str, str]:
    """The layers merged, the first value of each name wins.

    Left out are empty values, unresolved templates, words for a visit from nowhere (`(direct)`, `about:blank`), and a
    referrer that is a page of the form's own site.
    """
    touch: dict[str, str] = {}
    for layer in layers:
        for name, value in layer.items():
            if name not in touch and (text := attribution_value(value)) and not _is_nowhere(name, text):
                touch[name] = text
    site = registrable_domain(touch.get("landing_page", ""))
    if site is not None and site == registrable_domain(touch.get("referrer", "")):
        del touch["referrer"]
    return touch


def _is_nowhere(name: str, text: str) -> bool:
    return name in ("source", "medium", "referrer") and text.casefold().strip("()[] ") in _NOWHERE


def attribution_value(value: object) -> str:
    """One value as storable text, "" when it is empty or an unresolved template."""
    text = storable(unescape(as_text(value)))[:MAX_VALUE]
    return "" if is_unresolved(text) else text


def from_hidden_fields(answers: object) -> dict[str, object]:
    """UTM values and click ids among hidden fields or query parameters, by attribution name."""
    if not isinstance(answers, Mapping):
        return {}
    return {HIDDEN_KEYS[name]: answers[name] for name in answers if name in HIDDEN_KEYS}


def from_page_url(url: object) -> dict[str, object]:
    """UTM values and click ids of a page's URL, and the URL as landing_page. Never raises."""
    text = as_text(url)[:4_000]
    if not text.startswith(("http://", "https://")):
        return {}
    return {**from_hidden_fields(query_of(text)), "landing_page": text}


def query_of(url: str) -> dict[str, str]:
    """The query parameters of a URL, the first of each name; {} when it cannot be parsed."""
    url = unescape_link(url)
    try:
        query = urlsplit(url).query or (url if "=" in url and "://" not in url else "")
        pairs = parse_qsl(query, max_num_fields=200)
    except ValueError:
        return {}
    return dict(reversed(pairs))
