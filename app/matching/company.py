"""Companies: their names without the legal form, and the domain that names them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import idna
import tldextract

from app.matching.mailboxes import is_disposable, is_free_mail
from app.matching.text import fold, says_nothing, squeezed
from app.matching.words import words

_LEGAL: Final = words("legal_forms")
_NO_COMPANY: Final = words("individual")
_HOST: Final = re.compile(r"^(?:[a-z][a-z0-9+.-]*:)?(?://)?(?:[^/@?#\s]*@)?([^/?#:\s]+)", re.IGNORECASE)
# The snapshot in the package, never the network: the library would otherwise download the list at first use.
_EXTRACT: Final = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None, include_psl_private_domains=True)


def read_company(typed: str) -> str | None:
    """A company's name, trimmed; None for a stand-in such as `n/a`, `-`, `freelance`."""
    name = squeezed(typed).strip('"`').strip()
    return None if not name or says_nothing(name) or is_individual(name) else name


def is_individual(typed: str) -> bool:
    """Whether the answer says that there is no company: `self`, `freelance`, `osoba prywatna`."""
    return fold(typed) in _NO_COMPANY


@lru_cache(maxsize=4096)
def company_key(name: str) -> str:
    """What two spellings of one company share, without legal forms: `Müller Bau GmbH & Co. KG` is `muller bau`."""
    words = fold(name).split()
    while len(words) > 1 and words[-1] in _LEGAL:
        words.pop()
    return " ".join(words)


@lru_cache(maxsize=4096)
def registrable_domain(address: str) -> str | None:
    """The domain somebody registered, in ASCII, of a host or URL; None for IP addresses and single labels.

    Private suffixes count: `shop.example.co.uk` is `example.co.uk`, `acme.github.io` stays whole.
    """
    match = _HOST.match(address.strip())
    host = _ascii(match.group(1)) if match else None
    if host is None or "." not in host or host.rpartition(".")[2].isdigit():
        return None
    parts = _EXTRACT(host)
    if not parts.suffix:
        # Outside the public suffix list its rule `*` holds: the last label is the suffix.
        return ".".join(host.split(".")[-2:])
    return f"{parts.domain}.{parts.suffix}" if parts.domain else None


def company_domain(addresses: Iterable[str | None], email_domain: str | None, *, role_mailbox: bool) -> str | None:
    """The domain of a lead's company: of the first web address that has one, else of an e-mail that is neither free,
    throw-away nor a role."""
    for address in addresses:
        if address and (domain := registrable_domain(address)) and not is_free_mail(domain):
            return domain
    if not email_domain or role_mailbox or is_free_mail(email_domain) or is_disposable(email_domain):
        return None
    domain = registrable_domain(email_domain)
    return None if domain is None or is_free_mail(domain) else domain


def _ascii(host: str) -> str | None:
    host = host.strip(".").lower()
    if host.isascii():
        return host if re.fullmatch(r"[a-z0-9._-]{1,253}", host) else None
    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except ValueError:
        return None
