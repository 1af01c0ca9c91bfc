"""The hot routes in the OpenAPI document: FastAPI does not know them, msgspec knows their bodies."""

from typing import Any

import msgspec
from fastapi import FastAPI

from privyseal.wire.bodies import (
    HOT_BODIES,
    DecapsulateBody,
    DecryptBody,
    DeriveBody,
    EncapsulateBody,
    EncryptBody,
    LoginBody,
    LogoutBody,
    SignBatchBody,
    SignBody,
    VerifyBody,
)

_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "event": {"type": "integer"},
        "missing_rule": {"type": "string"},
        "approval": {"type": "integer"},
        "attempts_left": {"type": "integer"},
        "errors": {
            "type": "array",
            "items": {"type": "object", "properties": {"field": {"type": "string"}, "message": {"type": "string"}}},
        },
    },
}
_BYTES = {"type": "string", "contentEncoding": "base64"}
_INTEGER = {"type": "integer"}
_SIGNED = {"signature": _BYTES, "event": _INTEGER}
_BATCH = {"signatures": {"type": "array", "items": _BYTES}, "first_event": _INTEGER}
_VERIFIED = {"valid": {"type": "boolean"}, "event": _INTEGER}
_ENCRYPTED = {"data": _BYTES, "iv": {"anyOf": [_BYTES, {"type": "null"}]}, "event": _INTEGER}
_DECRYPTED = {"data": _BYTES, "event": _INTEGER}
_SECRET = {"secret": _BYTES, "event": _INTEGER}
_CAPSULE = {"ciphertext": _BYTES, "secret": _BYTES, "event": _INTEGER}
_LOGGED_IN = {
    "ticket": {"type": "string"},
    "expires": {"type": "string", "format": "date-time"},
    "keys": _INTEGER,
    "event": _INTEGER,
}
_ROUTES: tuple[tuple[str, str, type, dict[str, Any] | None], ...] = (
    ("/cores/{core}/keys/{key}/sign", "Sign a digest or small data", SignBody, _SIGNED),
    ("/cores/{core}/keys/{key}/sign-batch", "Sign up to 1,000 digests", SignBatchBody, _BATCH),
    ("/cores/{core}/keys/{key}/verify", "Check a signature", VerifyBody, _VERIFIED),
    ("/cores/{core}/keys/{key}/encrypt", "Encrypt data", EncryptBody, _ENCRYPTED),
    ("/cores/{core}/keys/{key}/decrypt", "Decrypt data", DecryptBody, _DECRYPTED),
    ("/cores/{core}/keys/{key}/derive", "Derive a secret", DeriveBody, _SECRET),
    ("/cores/{core}/keys/{key}/encapsulate", "Make a secret and its capsule", EncapsulateBody, _CAPSULE),
    ("/cores/{core}/keys/{key}/decapsulate", "Take the secret out of a capsule", DecapsulateBody, _SECRET),
    ("/cores/{core}/login", "Turn a PIN into a ticket", LoginBody, _LOGGED_IN),
    ("/cores/{core}/logout", "End a ticket", LogoutBody, None),
)


def complete(app: FastAPI) -> None:
    """Make the app's document speak of the hot routes, of problem documents and of how to log in."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(generate())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    _, schemas = msgspec.json.schema_components(HOT_BODIES, ref_template="#/components/schemas/{name}")
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update({**schemas, "Problem": _PROBLEM})
    components["securitySchemes"] = {
        "basic": {"type": "http", "scheme": "basic"},
        "bearer": {"type": "http", "scheme": "bearer"},
        "certificate": {"type": "mutualTLS"},
    }
    document["security"] = [{"basic": []}, {"bearer": []}, {"certificate": []}]
    for path, summary, body, answer in _ROUTES:
        document["paths"][f"/api/v1{path}"] = {"post": _operation(path, summary, body, answer)}
    for methods in document["paths"].values():
        for operation in methods.values():
            _describe_problems(operation)
    return document


def _operation(path: str, summary: str, body: type, answer: dict[str, Any] | None) -> dict[str, Any]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    schema = {"$ref": f"#/components/schemas/{body.__name__}"}
    return {
        "tags": ["keys" if "key" in names else "cores"],
        "summary": summary,
        "operationId": path.rsplit("/", 1)[1].replace("-", "_"),
        "parameters": [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {"204": {"description": "Done"}} if answer is None else {"200": _answer(answer)},
    }


def _answer(properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "required": list(properties), "properties": properties}
    return {"description": "Done", "content": {"application/json": {"schema": schema}}}


def _describe_problems(operation: dict[str, Any]) -> None:
    operation["responses"].pop("422", None)  # FastAPI's own form of it, which is not sent
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    operation["responses"]["default"] = {"description": "A problem document (RFC 9457)", "content": content}
