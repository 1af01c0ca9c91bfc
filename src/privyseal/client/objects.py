"""Stored objects of a core: certificates, public keys and data that every client sees."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from privyseal.client.http import Connection, path_part
from privyseal.client.records import Document, encoded, take, take_bytes, take_objects, take_or_none, take_time


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object; `object_class` is `certificate`, `public-key` or `data`, and `object_id` is CKA_ID in hexadecimal."""

    id: str
    object_class: str
    label: str
    object_id: str
    value: bytes
    created: datetime
    application: str | None = None
    oid: str | None = None
    document: Document = field(repr=False, compare=False)

    @classmethod
    def read(cls, document: Document) -> Self:
        """From an Object of docs/reference/rest.md."""
        return cls(
            id=take(document, "id", str),
            object_class=take(document, "class", str),
            label=take(document, "label", str),
            object_id=take(document, "object_id", str),
            value=take_bytes(document, "value"),
            created=take_time(document, "created"),
            application=take_or_none(document, "application", str),
            oid=take_or_none(document, "oid", str),
            document=document,
        )


class Objects:
    """The objects of one core."""

    def __init__(self, connection: Connection, core_path: str) -> None:
        self._connection = connection
        self._path = f"{core_path}/objects"

    def __iter__(self) -> Iterator[StoredObject]:
        """All that the caller may see, in the order they were made."""
        return self.find()

    def find(
        self, *, object_class: str | None = None, label: str | None = None, object_id: str | None = None
    ) -> Iterator[StoredObject]:
        """Those with this class, label and object id, as far as given; pages are fetched as needed."""
        cursor: str | None = None
        while True:
            query = {"limit": 1000, "cursor": cursor, "class": object_class, "label": label, "object_id": object_id}
            page = self._connection.request("GET", self._path, query=query).document()
            yield from map(StoredObject.read, take_objects(page, "objects"))
            cursor = page.get("next")
            if cursor is None:
                return

    def create(
        self, object_class: str, value: bytes, *, label: str = "", object_id: str = "", **more: str | None
    ) -> StoredObject:
        """Keep an object: a certificate or SubjectPublicKeyInfo in DER, or any bytes; `more`: `application`, `oid`."""
        body: dict[str, Any] = {
            "class": object_class, "value": encoded(value), "label": label, "object_id": object_id, **more,
        }  # fmt: skip
        return StoredObject.read(self._connection.request("POST", self._path, body=body).document())

    def get(self, id_: str) -> StoredObject:
        """One object by its id."""
        return StoredObject.read(self._connection.request("GET", f"{self._path}/{path_part(id_)}").document())

    def update(self, id_: str, **changes: str | bytes) -> StoredObject:
        """Change `label`, `object_id`, `value`, `application` or `oid`."""
        body = {name: encoded(value) if isinstance(value, bytes) else value for name, value in changes.items()}
        return StoredObject.read(
            self._connection.request("PUT", f"{self._path}/{path_part(id_)}", body=body).document()
        )

    def delete(self, id_: str) -> None:
        """Remove an object."""
        self._connection.request("DELETE", f"{self._path}/{path_part(id_)}")
