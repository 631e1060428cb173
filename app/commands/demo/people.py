"""Invented people and companies. Every domain ends in .example, so nothing can reach anybody."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final, TypeVar

T = TypeVar("T")


def _words(text: str) -> list[str]:
    return text.split()


FIRST: Final = _words(
    """
    Ada Aisha Alice Amara Ana Andrei Anna Arjun Bao Beatriz Bogdan Camille Carlos Chloé Dana Daniel Diego
    Elena Emeka Emma Eszter Fatima Felix Freya Gabriel Giulia Hana Hugo Ines Ioana Isabel Jakub Jana Jonas
    Julia Karim Katya Kenji Lara Leila Lian Luca Lucía Magda Malik Mara Marco Maria Mateo Mei Mihai Nadia Nia
    Noah Olga Omar Paula Petra Priya Rafael Radu Rosa Samuel Sara Sofia Stefan Tara Tomas Vera Viktor Wei
    Yara Yusuf Zofia
    """
)
LAST: Final = _words(
    """
    Abadi Almeida Andersen Bauer Bennett Berg Bianchi Chen Costa Dahl Diaz Dumitru Ene Fischer Fontaine
    García Georgescu Haddad Hansen Horvat Ionescu Ivanov Jansen Kaya Khan Kim Kovács Kowalski Lange Laurent
    Lindgren López Marin Martin Mensah Meyer Moreau Müller Nagy Nakamura Novák Okafor Olsen Óváry Park Patel
    Petrov Popa Reyes Ricci Rossi Roy Santos Sato Schmidt Silva Singh Stan Tanaka Toma Varga Vasquez Virtanen
    Vogel Wagner Weber Yilmaz Zvoristeanu
    """
)
HEADS: Final = _words(
    """
    Nord Alpen Bright Clear Delta East Ever Fern Grand Green Harbour High Iron Kite Lake Long Maple Mira
    North Oak Ocean Pine Prime Quick Red River Sand Silver South Star Stone Sun Swift Terra True Umber Vale
    West White Wind
    """
)
TAILS: Final = _words(
    """
    soft labs works data cloud logic bio freight bank energy foods print health motors metal care tools media
    build retail
    """
)
TITLES: Final = (
    ("Director of Operations", 9),
    ("Head of Marketing", 9),
    ("VP Sales", 7),
    ("Head of IT", 8),
    ("Managing Director", 6),
    ("Project Manager", 16),
    ("Sales Manager", 13),
    ("Developer", 11),
    ("Analyst", 10),
    ("Office Manager", 6),
    ("Student", 5),
)
INDUSTRIES: Final = (("software", 45), ("manufacturing", 18), ("retail", 12), ("healthcare", 10), ("logistics", 15))
SIZES: Final = ((8, 10), (35, 15), (80, 20), (140, 20), (260, 15), (420, 10), (900, 6), (5200, 4))
COUNTRIES: Final = (("RO", 22), ("DE", 20), ("GB", 14), ("FR", 12), ("PL", 10), ("HU", 8), ("ES", 8), ("US", 6))
DECIDES: Final = ("Director", "Head", "VP")


@dataclass(frozen=True, slots=True)
class Company:
    """Where somebody works."""

    name: str
    domain: str
    industry: str
    employees: int
    country: str


@dataclass(frozen=True, slots=True)
class Invented:
    """Somebody who fills in a form."""

    first_name: str
    last_name: str
    email: str
    job_title: str
    company: Company

    @property
    def fits(self) -> bool:
        """Whether the shipped policies give the fit an MQL needs."""
        company = self.company
        decides = any(word in self.job_title.split() for word in DECIDES)
        return decides and company.industry == "software" and 50 <= company.employees <= 500


def companies(chance: random.Random, count: int) -> list[Company]:
    """Companies with different names and domains."""
    names = [f"{head}{tail}" for head in HEADS for tail in TAILS]
    names += [f"{name} {word}" for word in ("Group", "Europe", "Partners") for name in names]
    return [
        Company(
            name,
            f"{name.lower().replace(' ', '-')}.example",
            _pick(chance, INDUSTRIES),
            int(_pick(chance, SIZES) * chance.uniform(0.8, 1.1)),
            _pick(chance, COUNTRIES),
        )
        for name in chance.sample(names, min(count, len(names)))
    ]


def person(chance: random.Random, company: Company, number: int) -> Invented:
    """Somebody of a company; `number` keeps two of the same name apart."""
    first, last = chance.choice(FIRST), chance.choice(LAST)
    plain = "".join(letter for letter in f"{first}.{last}".lower() if letter.isascii())
    return Invented(first, last, f"{plain}{number}@{company.domain}", _pick(chance, TITLES), company)


def _pick(chance: random.Random, weighted: tuple[tuple[T, int], ...]) -> T:
    return chance.choices([value for value, _ in weighted], [weight for _, weight in weighted])[0]
