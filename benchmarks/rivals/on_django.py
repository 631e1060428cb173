"""`python -m benchmarks.rivals.on_django install|work|record DSN`: django-outbound-webhooks, with its own sender.

A relay sends one delivery at a time; several of them have no order for each lead.
"""

from __future__ import annotations

import base64
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction

from benchmarks.rivals.events import Event
from benchmarks.rivals.handler import SECRET, TIMEOUT_SECONDS
from benchmarks.rivals.recorder import take_orders


def configure(dsn: str) -> None:
    parts = urlsplit(dsn)
    place = parse_qs(parts.query)
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path[1:],
        "USER": parts.username,
        "HOST": place["host"][0],
        "PORT": place["port"][0],
        "CONN_MAX_AGE": None,
    }
    settings.configure(
        DATABASES={"default": database},
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "django_domain_events",
            "django_outbound_webhooks",
        ],
        USE_TZ=True,
        DJANGO_OUTBOUND_WEBHOOKS={"ALLOW_PRIVATE_ADDRESSES": True, "TIMEOUT_SECONDS": TIMEOUT_SECONDS},
    )
    django.setup()


def main(verb: str) -> None:
    from django_domain_events import event, fire
    from django_outbound_webhooks import register_endpoint

    @event(name="leads.LeadUpdated")
    @dataclass(frozen=True)
    class LeadUpdated:
        lead_id: int
        lead_version: int
        mark: str
        text: str

    def commit(events: Sequence[Event], timed: bool) -> None:
        with transaction.atomic():
            for one in events:
                fire(LeadUpdated(one.lead, one.version, one.mark, str(one.data["text"])))
            if timed:
                with connection.cursor() as cursor:
                    cursor.execute("INSERT INTO recorded SELECT unnest(%s::text[])", [[one.mark for one in events]])

    def subscribe(url: str) -> None:
        secret = base64.b64encode(SECRET).decode()
        register_endpoint(name=url, url=url, secret=secret, event_names=["leads.LeadUpdated"])

    match verb:
        case "install":
            call_command("migrate", verbosity=0)
        case "work":
            call_command("deliver_events")
        case "record":
            take_orders(commit, subscribe)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    configure(sys.argv[2])
    main(sys.argv[1])
