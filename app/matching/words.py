"""The word lists of words.toml, read at import."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

_TABLES: Final[dict[str, Any]] = tomllib.loads(Path(__file__).with_name("words.toml").read_text("utf-8"))

# Japanese, Chinese, Korean and Thai.
_UNSPACED: Final = re.compile(r"[\u0e00-\u0e7f\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def entries(text: str) -> tuple[str, ...]:
    """The entries of one comma separated list."""
    return tuple(entry.strip() for entry in text.split(",") if entry.strip())


def words(name: str) -> frozenset[str]:
    """The list of this name."""
    return frozenset(entries(_TABLES["words"][name]))


def phrases(fold: Callable[[str], str], *names: str) -> re.Pattern[str]:
    """The lists of these names as a pattern that finds their folded entries among words; * opens an end of an entry.

    An entry in a script that is written without blanks is found within words too.
    """
    listed = frozenset[str]().union(*map(words, names))
    found = sorted({(fold(entry), entry.startswith("*"), entry.endswith("*")) for entry in listed}, reverse=True)
    return re.compile("|".join(_phrase(*one) for one in found))


def _phrase(entry: str, is_open_before: bool, is_open_after: bool) -> str:
    if _UNSPACED.match(entry):
        return re.escape(entry)
    return ("" if is_open_before else r"\b") + re.escape(entry) + (r"\w*" if is_open_after else r"\b")


def ranked(name: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Values of `seniority` or `role` with their words, in order of precedence."""
    return tuple((row["value"], entries(row["words"])) for row in _TABLES[name])


def countries() -> dict[str, tuple[str, ...]]:
    """Additional names of countries by ISO-2 code."""
    return {code: entries(names) for code, names in _TABLES["countries"].items()}


def sports_codes() -> dict[str, str]:
    """ISO-2 codes of countries by their code in sports (IOC and FIFA), where that is not their ISO-3 code."""
    pairs = (entry.split() for entry in words("sports_codes"))
    return {code.casefold(): country for code, country in pairs}


def ambiguous_countries() -> frozenset[str]:
    """Names that several countries have."""
    return words("ambiguous_countries")


def place_words() -> dict[str, str]:
    """Words in the names of countries that are written short, by their short form; "" for those left out."""
    return dict(_TABLES["place_words"])


def generations() -> dict[str, tuple[str, ...]]:
    """Suffixes such as Jr and Sr in their spellings, by the form that is compared."""
    return {form: entries(spellings) for form, spellings in _TABLES["generations"].items()}


def external_id_forms() -> tuple[tuple[str, str], ...]:
    """The start of a namespace, and the name of the form in which its external ids are compared."""
    return tuple((row["namespace"], row["form"]) for row in _TABLES["external_id_forms"])
