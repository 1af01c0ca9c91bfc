"""Objects beside keys that hosts keep on the appliance by REST. They are no secret, and nobody uses them here."""

import enum
from dataclasses import dataclass
from datetime import datetime

VALUE_MAX = 64 * 1024


class ObjectClass(enum.Enum):
    """What an object is."""

    CERTIFICATE = "certificate"
    DATA = "data"
    PUBLIC_KEY = "public-key"


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object.

    Attributes:
        id: 16 hexadecimal digits, ours, never changed.
        object_class: certificate, public key or data.
        label: the user's name for it; may be empty, and need not be unique.
        object_id: CKA_ID in hexadecimal; empty for none.
        value: an X.509 certificate or a SubjectPublicKeyInfo, both in DER, or any bytes.
        application, oid: of data objects, CKA_APPLICATION and CKA_OBJECT_ID (in dots).
    """

    id: str
    core: int
    object_class: ObjectClass
    label: str
    object_id: str
    value: bytes
    created: datetime
    application: str | None = None
    oid: str | None = None
