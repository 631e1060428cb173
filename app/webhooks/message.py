"""One attempt to tell a receiver of an event, whatever it is sent by: an HTTP request, or a message of a broker."""

from __future__ import annotations

from dataclasses import dataclass

from app.webhooks.credentials import Credentials


@dataclass(frozen=True, slots=True)
class Message:
    """Where it goes, how long it may take, the headers and body of an HTTP request, and what a broker needs besides.

    `id` is that of the event, in a replay followed by that of the replay: a broker stores one message of an id. `key`
    is the public id of the lead, else another id that events with an order among them share. `tenant` and `lead` are
    public ids; `lead` is None for an event that is not about a lead.
    """

    url: str
    credentials: Credentials | None
    timeout_seconds: float
    id: str
    type: str
    tenant: str
    lead: str | None
    key: str
    headers: dict[str, str]
    body: bytes
