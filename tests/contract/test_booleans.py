"""True is no number: no member that takes numbers takes it, in any body, policy or mapping document."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

import app
from app.policy.view import Part
from app.sources import document
from app.web.examples import POLICY
from app.web.fields import RequestBody
from tests.api import Api

ROOTS = (RequestBody, Part, document.Part)


def models(root: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for one in root.__subclasses__():
        yield one
        yield from models(one)


def number_members() -> list[tuple[type[BaseModel], str]]:
    """The members that may be a number and cannot be true or false."""
    for module in pkgutil.walk_packages(app.__path__, "app."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found = {
        (model, name)
        for root in ROOTS
        for model in models(root)
        if model.__module__.startswith("app.")
        for name, info in model.model_fields.items()
        if kinds(info.annotation) & {int, float} and bool not in kinds(info.annotation)
    }
    return sorted(found, key=str)


def kinds(shape: Any) -> set[type]:
    """The types of plain values that the annotation has at its top."""
    found: set[type] = set()
    if get_origin(shape) is Literal:
        return {type(value) for value in get_args(shape)}
    if get_origin(shape) in (Union, UnionType):
        return found.union(*map(kinds, get_args(shape)))
    if get_origin(shape) is Annotated:
        return kinds(get_args(shape)[0])
    return {shape} if isinstance(shape, type) else set()


@pytest.mark.parametrize(("model", "name"), number_members(), ids=lambda one: getattr(one, "__name__", one))
def test_true_is_no_number(model: type[BaseModel], name: str) -> None:
    info = model.model_fields[name]
    shape: Any = Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
    adapter: TypeAdapter[Any] = TypeAdapter(shape, config=model.model_config)
    for value in (True, False):
        with pytest.raises(ValidationError):
            adapter.validate_python(value)
        with pytest.raises(ValidationError):
            adapter.validate_json(json.dumps(value))


def test_the_members_of_each_kind_of_document_are_among_them() -> None:
    found = {(model.__name__, name) for model, name in number_members()}
    assert {("SubscriptionCreate", "schema_version"), ("Policy", "schema_number"), ("Spam", "max_links")} <= found
    assert len(found) > 40


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/subscriptions", {"url": "https://a.example/b", "schema_version": True}, "schema_version"),
        ("/v1/subscriptions/preview", {"schema_version": True}, "schema_version"),
        (
            "/v1/sources",
            {"name": "a", "preset": "generic", "overrides": {"spam": {"max_links": True}}},
            "overrides.spam.max_links",
        ),
        (
            "/v1/sources",
            {"name": "a", "preset": "generic", "defaults": {"double_opt_in": {"valid_hours": True}}},
            "defaults.double_opt_in.valid_hours",
        ),
        ("/v1/policies", POLICY | {"schema": True}, "schema"),
    ],
)
async def test_a_boolean_for_a_number_is_refused_by_the_name_of_its_member(
    api: Api, path: str, body: dict[str, Any], field: str
) -> None:
    answer = await api.call("POST", path, body)
    assert answer.status_code == 422, answer.text
    told = {one["field"]: one["detail"] for one in answer.json()["errors"]}
    assert "number" in told[field] or "write 1" in told[field], told
