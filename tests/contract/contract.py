"""The operations of the OpenAPI document: scope, body, parameters, and the path filled in with ids."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app import ids
from app.settings import Settings
from app.web.application import create_app

DOCUMENT: dict[str, Any] = create_app(Settings.model_construct()).openapi()
METHODS = ("get", "put", "post", "patch", "delete")
PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    members: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def scope(self) -> str | None:
        """The scope it needs; '' for any key, None without authentication."""
        security = self.members.get("security")
        return None if not security else "".join(security[0]["key"])

    @property
    def body(self) -> dict[str, Any] | None:
        """The resolved JSON schema of the body, if it takes JSON."""
        content = self.members.get("requestBody", {}).get("content", {}).get("application/json")
        return None if content is None else resolved(content["schema"])

    @property
    def queries(self) -> list[str]:
        """The names of its query parameters."""
        return [each["name"] for each in self.members.get("parameters", ()) if each["in"] == "query"]

    @property
    def required(self) -> list[str]:
        """The names of the query parameters that it cannot do without."""
        return [one["name"] for one in self.members.get("parameters", ()) if one["in"] == "query" and one["required"]]

    @property
    def headers(self) -> list[str]:
        """The names of its header parameters."""
        return [each["name"] for each in self.members.get("parameters", ()) if each["in"] == "header"]

    def at(self, **ids_: str) -> str:
        """The path with these ids by parameter name; a parameter that is not given gets an unknown id."""
        path = self.path
        for parameter in (each["name"] for each in self.members.get("parameters", ()) if each["in"] == "path"):
            path = path.replace("{" + parameter + "}", ids_.get(parameter) or unknown(parameter))
        return path


def operations() -> Iterator[Operation]:
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS:
            if method in item:
                yield Operation(method.upper(), path, item[method])


def unknown(parameter: str) -> str:
    """A well-formed id of no record."""
    kind = parameter.removesuffix("_id")
    return ids.show(kind, ids.new_id()) if kind in ids.PREFIXES else "unknown"


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema behind references and nullable wrappers."""
    if "$ref" in schema:
        return resolved(DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    options = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    return resolved(options[0]) if options and "type" not in schema else schema


ALL = list(operations())
AUTHENTICATED = [operation for operation in ALL if operation.scope is not None]
WITH_BODY = [operation for operation in AUTHENTICATED if operation.body is not None]
