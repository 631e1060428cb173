"""Countries by code or by name, in the languages of expected submissions."""

from __future__ import annotations

import gettext
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Final

import pycountry

from app.matching.text import fold
from app.matching.words import countries

_LANGUAGES: Final = ("ro", "ru", "pl", "de")


@lru_cache(maxsize=2048)
def country_code(typed: str) -> str | None:
    """ISO 3166 alpha-2 of an alpha-2 or alpha-3 code or a name in English, Romanian, Russian, Polish or German."""
    return _table().get(fold(typed))


@cache
def _table() -> dict[str, str]:
    table: dict[str, str] = {}
    for name, code in _names():
        table.setdefault(fold(name), code)
    table.update({fold(alias): code for code, aliases in countries().items() for alias in aliases})
    return table


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
        words = gettext.translation("iso3166-1", pycountry.LOCALES_DIR, languages=[language], fallback=True)
        for country in known:
            yield words.gettext(getattr(country, "common_name", country.name)), country.alpha_2
            yield words.gettext(country.name), country.alpha_2
