"""Every event type has a published schema."""

from __future__ import annotations

from fastapi import FastAPI

from app.events.catalogue import TYPES, webhooks


def test_the_openapi_document_lists_each_type_with_the_schema_of_its_data() -> None:
    document = FastAPI(webhooks=webhooks).openapi()
    assert set(document["webhooks"]) == set(TYPES)
    for name, shape in TYPES.items():
        content = document["webhooks"][name]["post"]["requestBody"]["content"]["application/json"]
        schema = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
        assert schema["properties"]["type"]["const"] == name
        assert schema["properties"]["data"]["$ref"].endswith(f"/{shape.__name__}")
        assert {"id", "type", "timestamp", "data", "meta"} <= set(schema["required"])


def test_each_lead_event_names_its_lead_and_each_opportunity_event_its_opportunity() -> None:
    for name, shape in TYPES.items():
        noun = name.partition(".")[0]
        if noun in ("lead", "opportunity", "submission"):
            assert f"{noun}_id" in shape.model_fields


def test_types_are_named_noun_dot_verb() -> None:
    assert all(name.replace("_", "").replace(".", "", 1).isalpha() and name.islower() for name in TYPES)
