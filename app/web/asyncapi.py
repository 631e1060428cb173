"""The AsyncAPI document: where events can be had and what each is, made from what the OpenAPI document says of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

ROOT: Final = "#/components/schemas/"
PING: Final = "subscription.ping"  # of subscriptions only: it is not in the log
JSON: Final = "application/json"
HEADERS: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Of webhooks and brokers; the feed has none. Those that a subscription sets itself come besides, and"
    " `ce-…` (in Kafka `ce_…`) where its format is CloudEvents in binary mode.",
    "properties": {
        "webhook-id": {"type": "string", "description": "The id of the event, the same each time it is sent."},
        "webhook-timestamp": {"type": "string", "description": "Seconds since 1970, when it was signed."},
        "webhook-signature": {
            "type": "string",
            "description": "Of Standard Webhooks, for each valid key: `v1,` and the base64 of an HMAC-SHA256,"
            " `v1a,` and that of an ed25519 signature.",
        },
        "webhook-subscription": {"type": "string", "description": "The id of the subscription."},
        "webhook-attempt": {"type": "string", "description": "1 at first."},
        "webhook-replay": {"type": "string", "description": "The id of the replay by which it is sent once more."},
        "traceparent": {"type": "string"},
        "content-type": {"type": "string"},
        "content-digest": {"type": "string", "description": "The SHA-256 of the body (RFC 9530)."},
    },
}
NATS_HEADERS: Final[dict[str, Any]] = {
    "Nats-Msg-Id": {
        "type": "string",
        "description": "Of NATS: the id of the event, in a replay followed by `.` and that of the replay.",
    },
}
SERVERS: Final[dict[str, Any]] = {
    "baton": {
        "host": "{baton}",
        "protocol": "https",
        "description": "This service.",
        "variables": {"baton": {"default": "baton.example", "description": "Where it is."}},
        "security": [{"$ref": "#/components/securitySchemes/key"}],
    },
    "receiver": {
        "host": "{receiver}",
        "protocol": "https",
        "description": "The URL of a subscription.",
        "variables": {"receiver": {"default": "hooks.acme.example", "description": "A host of yours."}},
    },
    "nats": {
        "host": "{nats}",
        "protocol": "nats",
        "description": "A NATS JetStream, whose stream takes the subjects of the subscription.",
        "variables": {"nats": {"default": "nats.acme.example:4222", "description": "A server of yours."}},
        "security": [{"$ref": "#/components/securitySchemes/login"}],
    },
    "kafka": {
        "host": "{kafka}",
        "protocol": "kafka-secure",
        "description": "A Kafka cluster, by one of its brokers.",
        "variables": {"kafka": {"default": "kafka.acme.example:9092", "description": "A broker of yours."}},
        "security": [
            {"$ref": "#/components/securitySchemes/plain"},
            {"$ref": "#/components/securitySchemes/scram256"},
            {"$ref": "#/components/securitySchemes/scram512"},
        ],
    },
}
FEED_QUERY: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "after": {"type": "string", "description": "A cursor, `earliest`, `latest` or an instant."},
        "types": {"type": "string", "examples": ["lead.*"]},
        "lead_id": {"type": "string"},
        "include": {"type": "string", "const": "lead"},
    },
}
TOPIC: Final[dict[str, Any]] = {"topic": {"description": "The topic in the URL.", "examples": ["leads"]}}
KEY: Final[dict[str, Any]] = {
    "key": {
        "type": "string",
        "description": "The id of the lead; of an event that is not about one, the id of what it is about.",
        "examples": ["lead_01kj7jrys5fgynx40zc4zks2gf"],
    },
    "bindingVersion": "0.5.0",
}
TOKENS: Final[dict[str, Any]] = {
    "tenant": {"description": "The id of the tenant.", "examples": ["ten_01kj7jrys5fgynx40zc4zks2gf"]},
    "lead": {
        "description": "The id of the lead; `none` for an event that is not about one.",
        "examples": ["lead_01kj7jrys5fgynx40zc4zks2gf", "none"],
    },
    "type": {"description": "The type of the event, which has points.", "examples": ["lead.stage_changed"]},
}


def asyncapi(document: dict[str, Any]) -> dict[str, Any]:
    """The AsyncAPI 3 document of a service, from its OpenAPI document."""
    schemas, webhooks = document["components"]["schemas"], document["webhooks"]
    messages = {name: _message(name, item["post"]) for name, item in webhooks.items()}
    used = _referenced([each["payload"]["$ref"] for each in messages.values()], schemas)
    every = {name: {"$ref": f"#/components/messages/{name}"} for name in messages}
    logged = {name: message for name, message in every.items() if name != PING}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": document["info"]["title"],
            "version": document["info"]["version"],
            "description": "The events of Baton: the feed, webhooks and brokers. Each is sent at least once, those of a"
            " lead in order.",
            "license": {"name": document["info"]["license"]["name"]},
        },
        "defaultContentType": JSON,
        "servers": SERVERS,
        "channels": {
            "feed": _channel("/v1/events", "baton", logged, "The feed: pages of events, or a stream of them."),
            "webhook": _channel(None, "receiver", every, "A POST to the URL of a subscription; any 2xx accepts it."),
            "nats": {
                **_channel("lead.{tenant}.{lead}.{type}", "nats", every, "The subject, unless the URL has another."),
                "parameters": TOKENS,
            },
            "kafka": {
                **_channel("{topic}", "kafka", every, "Those of a lead are in one partition, in order."),
                "parameters": TOPIC,
            },
        },
        "operations": {
            "feed": _send("feed", {"http": {"method": "GET", "query": FEED_QUERY, "bindingVersion": "0.3.0"}}),
            "webhook": _send("webhook", {"http": {"method": "POST", "bindingVersion": "0.3.0"}}),
            "nats": _send("nats", {}),
            "kafka": _send("kafka", {}),
        },
        "components": {
            "messages": messages,
            "schemas": {
                **{name: schemas[name] for name in sorted(used)},
                "EventHeaders": {**HEADERS, "properties": {**HEADERS["properties"], **NATS_HEADERS}},
            },
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key."},
                "login": {"type": "userPassword", "description": "Or a token: the credentials of the subscription."},
                "plain": {"type": "plain", "description": "The credentials of the subscription, by SASL PLAIN."},
                "scram256": {"type": "scramSha256", "description": "The same with SCRAM-SHA-256."},
                "scram512": {"type": "scramSha512", "description": "The same with SCRAM-SHA-512."},
            },
        },
    }


def _message(name: str, operation: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "title": name,
        "summary": operation["description"],
        "contentType": JSON,
        "headers": {"$ref": f"{ROOT}EventHeaders"},
        "bindings": {"kafka": KEY},
        "payload": {"$ref": operation["requestBody"]["content"][JSON]["schema"]["$ref"]},
    }


def _channel(address: str | None, server: str, messages: dict[str, Any], description: str) -> dict[str, Any]:
    servers = [{"$ref": f"#/servers/{server}"}]
    return {"address": address, "servers": servers, "description": description, "messages": messages}


def _send(channel: str, bindings: dict[str, Any]) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel}"},
        **({"bindings": bindings} if bindings else {}),
    }


def _referenced(wanted: list[str], schemas: dict[str, Any]) -> set[str]:
    """The names of the schemas that these references lead to, also through other schemas."""
    found: set[str] = set()
    while wanted:
        if (name := wanted.pop().removeprefix(ROOT)) not in found:
            found.add(name)
            wanted.extend(_references(schemas[name]))
    return found


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for name, member in part.items():
            if name == "$ref":
                yield member
            else:
                yield from _references(member)
    elif isinstance(part, list):
        for member in part:
            yield from _references(member)
