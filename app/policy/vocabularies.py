"""Codes of public standards: what countries, languages and currencies can be, and the code of one that was named."""

from __future__ import annotations

import gettext
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from typing import Final

import pycountry

from app.matching.country import country_code

COUNTRIES: Final = tuple(sorted({*(one.alpha_2 for one in pycountry.countries), "XK"}))  # Kosovo is in use
CURRENCIES: Final = tuple(sorted(one.alpha_3 for one in pycountry.currencies))
NEAR: Final = 0.8  # how alike a misspelt name has to be
TRANSLATED_TO: Final = ("de", "ro", "pl", "ru")  # besides English, the languages that job titles are read in
# By field: the list of its codes in pycountry, the name of the translations, and the attributes that have a code.
_TABLES: Final = {
    "country": ("countries", "iso3166-1", ("alpha_2",)),
    "language": ("languages", "iso639-3", ("alpha_2", "alpha_3")),
    "bant.budget.currency": ("currencies", "iso4217", ("alpha_3",)),
}


def has_codes(field: str) -> bool:
    """Whether the values of the field are codes of a standard."""
    return field in _TABLES


def is_code(field: str, value: object) -> bool:
    """Whether it is one of the field's codes."""
    if not isinstance(value, str):
        return False
    code = value.strip().casefold()
    return code in _codes(field) or (field == "country" and code == "xk")


@cache
def _codes(field: str) -> frozenset[str]:
    table, _, attributes = _TABLES[field]
    codes = (getattr(one, name, None) for one in getattr(pycountry, table) for name in attributes)
    return frozenset(code.casefold() for code in codes if code)


@cache
def code_of(field: str, name: str) -> str | None:
    """The code of what is named, such as DE of Germany, Deutschland, Niemcy and DEU, and GB of UK; else that of the
    nearest name. None if that is not known."""
    if field == "country" and (code := country_code(name)) is not None:
        return code
    wanted, codes = name.strip().casefold(), _code_by_name(field)
    near = () if field == "language" else get_close_matches(wanted, codes, 1, NEAR)  # languages are too many
    return codes.get(wanted) or next((codes[one] for one in near), None)


@cache
def _code_by_name(field: str) -> dict[str, str]:
    return {name.casefold(): code for name, code in reversed(list(_names(field)))}


def _names(field: str) -> Iterator[tuple[str, str]]:
    table, domain, attributes = _TABLES[field]
    translations = [
        gettext.translation(domain, pycountry.LOCALES_DIR, languages=[language], fallback=True)
        for language in TRANSLATED_TO
    ]
    for one in getattr(pycountry, table):
        code = next(found for attribute in attributes if (found := getattr(one, attribute, None)))
        names = [getattr(one, kind, None) for kind in ("alpha_3", "name", "common_name", "official_name")]
        for known in filter(None, names):
            yield known, code
            yield from ((translated.gettext(known), code) for translated in translations)
