"""Countries by code or by name, in the languages of CLDR (docs/decisions/0025)."""

from __future__ import annotations

import gettext
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

import phonenumbers
import pycountry

from app.matching.no_identity import is_no_id
from app.matching.text import fold
from app.matching.words import ambiguous_countries, countries, phrases, place_words, sports_codes, words

_LANGUAGES: Final = ("ro", "ru", "pl", "de")
_TERRITORIES: Final = Path(__file__).with_name("territories.tsv")
_PARTS: Final = re.compile(r"[()\[\]/,;|]| [-–—] ")
_PLACE_WORDS: Final = place_words()
_PROMPTS: Final = phrases(fold, "prompts")
_LABELS: Final = frozenset(map(fold, words("country_labels")))


@lru_cache(maxsize=2048)
def country_code(typed: str) -> str | None:
    """ISO 3166 alpha-2 of an alpha-2 or alpha-3 code or a name in any language; XK for Kosovo.

    None for a name that several countries have, such as Congo. Of `Germany (DE)` each part has to name the same one.
    `NA` is Namibia, `N/A` and `n.a.` are no country.
    """
    if is_no_id(typed) and not typed.strip().isalpha():
        return None
    if whole := _table().get(_key(typed)):
        return whole
    codes = {_table().get(_key(part)) for part in _PARTS.split(typed) if fold(part)}
    return codes.pop() if len(codes) == 1 else None


def is_region(code: str) -> bool:
    """Whether two capital letters are the code of a country, or of a region that has telephone numbers of its own."""
    return pycountry.countries.get(alpha_2=code) is not None or code in phonenumbers.SUPPORTED_REGIONS


def names_no_country(typed: str) -> bool:
    """Whether a text that is no country stands for none: `Select country`, `Please choose`, `--`, `0`, `N/A`."""
    return is_no_id(typed) or fold(typed) in _LABELS or _PROMPTS.search(fold(typed)) is not None


def _key(name: str) -> str:
    """A name for comparison: `U. K.` is `uk`, `Czech Rep.` is `czech republic`, `St. Kitts & Nevis` has no `and`."""
    parts = fold(name).split()
    if all(len(part) == 1 for part in parts):
        return "".join(parts)
    return " ".join(filter(None, (_PLACE_WORDS.get(part, part) for part in parts))) if len(parts) > 1 else fold(name)


@cache
def _table() -> dict[str, str]:
    table: dict[str, str] = {}
    for name, code in _names():
        table.setdefault(_key(name), code)
    table = sports_codes() | table
    table.update({_key(alias): code for code, aliases in countries().items() for alias in aliases})
    meanings: dict[str, set[str]] = defaultdict(set)
    for line in _TERRITORIES.read_text("utf-8").splitlines():
        code, *names = line.split("\t")
        for name in names:
            if len(key := _key(name)) > 2 or not key.isascii():  # two Latin letters are a code: EU is no country
                meanings[key].add(code)
    table = {name: codes.pop() for name, codes in meanings.items() if len(codes) == 1} | table
    return {name: code for name, code in table.items() if name and name not in ambiguous_countries()}


def _names() -> Iterator[tuple[str, str]]:
    known = list(pycountry.countries)
    for country in known:
        yield country.alpha_2, country.alpha_2
        yield country.alpha_3, country.alpha_2
    for country in known:
        for attribute in ("name", "common_name", "official_name"):
            if name := getattr(country, attribute, None):
                yield name, country.alpha_2
    for language in _LANGUAGES:
        translated = gettext.translation("iso3166-1", pycountry.LOCALES_DIR, languages=[language], fallback=True)
        for country in known:
            yield translated.gettext(getattr(country, "common_name", country.name)), country.alpha_2
            yield translated.gettext(country.name), country.alpha_2
