"""A well-formed request for each endpoint of the OpenAPI document, with what it calls required."""

from collections.abc import Iterator
from typing import Any

from privyseal.rest import api
from support.appliance import PIN

DOCUMENT: dict[str, Any] = api.framework().openapi()
VALUES: dict[str, Any] = {
    "approvers": ["administrator"],
    "core": "1",
    "digest": "A" * 43 + "=",
    "digests": ["A" * 43 + "="],
    "event": "1",
    "from": "1",
    "key": "probe",
    "keys": "*",
    "id": "0123456789abcdef",
    "import_key": "none",
    "kind": "key-file",
    "label": "made here",
    "needed": 1,
    "name": "somebody",
    "new": "a new password",
    "number": "999",
    "old": "an old password",
    "operation": "key:sign",
    "operations": ["key:sign"],
    "password": "a password of somebody",
    "pin": PIN,
    "policy": {"raw_digest": True},
    "public_key": "AAAA",
    "signature": "AAAA",
    "ticket": "none",
    "type": "ed25519",
    "unlock": {"kind": "key-file"},
    "user": "administrator",
    "wrapped": "AAAA",
}


def endpoints() -> Iterator[str]:
    """Each endpoint as `METHOD /path`."""
    for path, methods in DOCUMENT["paths"].items():
        for method in methods:
            yield f"{method.upper()} {path.removeprefix('/api/v1')}"


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema behind its reference."""
    schema = next((one for one in schema.get("anyOf", []) if "$ref" in one), schema)
    reference = schema.get("$ref")
    return DOCUMENT["components"]["schemas"][reference.rsplit("/", 1)[1]] if reference else schema


def filled(path: str, operation: dict[str, Any]) -> tuple[str, dict[str, str], dict[str, Any] | None]:
    """A well-formed request: path, query and body, with what the document calls required and a PIN for keys."""
    parameters = [one for one in operation.get("parameters", []) if one.get("required")]
    for one in parameters:
        path = path.replace(f"{{{one['name']}}}", VALUES[one["name"]])
    query = {one["name"]: VALUES[one["name"]] for one in parameters if one["in"] == "query"}
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return path, query, None
    schema = resolved(content["schema"])
    wanted = {*schema.get("required", []), *({"digest", "pin"} & set(schema.get("properties", {})))}
    return path, query, {name: _value(name, schema["properties"][name]) for name in sorted(wanted)}


def _value(name: str, schema: dict[str, Any]) -> Any:
    if name == "role":
        return "operator"
    value = VALUES[name]
    return int(value) if resolved(schema).get("type") == "integer" else value
