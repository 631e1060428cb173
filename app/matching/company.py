"""Companies: their names, comparison keys without the legal form, and domains."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import tldextract

from app.matching.host import host_name
from app.matching.mailboxes import is_disposable, is_free_mail
from app.matching.text import collapse_spaces, fold, is_placeholder, plain
from app.matching.words import words

_LEGAL: Final = words("legal_forms")
_SHARED_HOSTS: Final = words("shared_hosts")
_NO_COMPANY: Final = words("individual")
_NEVER_A_COMPANY: Final = words("no_company")
_HOST: Final = re.compile(r"^(?:[a-z][a-z0-9+.-]*:)?(?://)?(?:[^/@?#\s]*@)?([^/?#:\s]+)", re.IGNORECASE)
# Uses the snapshot in the package: by default the library downloads the list at first use.
_EXTRACT: Final = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None, include_psl_private_domains=True)


def read_company(typed: str, *, beside_name: bool = False) -> str | None:
    """A company's name, trimmed; None for a placeholder such as `n/a`, `-`, `freelance`.

    Beside the name of a person, a word that may be a name (`X`, `Test`) is one.
    """
    name = collapse_spaces(typed).strip('"`').strip()
    if not name or is_individual(name):
        return None
    may_be_name = beside_name and name.isalpha() and name.casefold() not in _NEVER_A_COMPANY
    return None if is_placeholder(name) and not may_be_name else name


def is_individual(typed: str) -> bool:
    """Whether the answer means that there is no company: `self`, `freelance`, `osoba prywatna`."""
    return fold(typed) in _NO_COMPANY


@lru_cache(maxsize=1024)
def company_key(name: str) -> str:
    """The comparison key of a company's name, without legal forms: `Müller Bau GmbH & Co. KG` is `muller bau`."""
    words = fold(name).split()
    while len(words) > 1 and words[-1] in _LEGAL:
        words.pop()
    return " ".join(words)


@lru_cache(maxsize=1024)
def registrable_domain(address: str) -> str | None:
    """The registrable domain, in ASCII, of a host or URL; None for IP addresses and single labels.

    Private suffixes are suffixes too: `shop.example.co.uk` gives `example.co.uk`, `acme.github.io` itself.
    """
    match = _HOST.match(plain(address).strip())
    host = host_name(match.group(1).strip(".")) if match else None
    if host is None or "." not in host:
        return None
    parts = _EXTRACT(host)
    if not parts.suffix:
        # Not in the public suffix list, whose default rule is `*`: the last label is the suffix.
        return ".".join(host.split(".")[-2:])
    return f"{parts.domain}.{parts.suffix}" if parts.domain else None


def is_web_address(typed: str) -> bool:
    """Whether it is a host name with a dot, or a URL with one. `registrable_domain` also checks the public suffix."""
    match = _HOST.match(typed.strip())
    host = host_name(match.group(1)) if match else None
    return host is not None and "." in host


def company_domain(addresses: Iterable[str | None], email_domain: str | None, *, role_mailbox: bool) -> str | None:
    """The domain of a lead's company: that of the first web address which names one, else that of the e-mail, unless
    it is free mail, disposable or a role mailbox. Whoever has an address at google.com works there."""
    if (domain := organization_domain(addresses)) is not None:
        return domain
    if not email_domain or role_mailbox or is_free_mail(email_domain) or is_disposable(email_domain):
        return None
    domain = registrable_domain(email_domain)
    return None if domain is None or is_free_mail(domain) else domain


def organization_domain(addresses: Iterable[str | None]) -> str | None:
    """The first registrable domain that names one organization: no free mail and no host of many people's pages."""
    domains = (registrable_domain(address) for address in addresses if address)
    return next((domain for domain in domains if domain and not is_of_many(domain)), None)


@lru_cache(maxsize=1024)
def is_of_many(domain: str) -> bool:
    """Whether the registrable domain has the pages or mailboxes of many people and companies, so that it names none."""
    is_listed = domain in _SHARED_HOSTS or is_free_mail(domain) or is_disposable(domain)
    return is_listed or bool(_EXTRACT(domain).is_private)
