"""The values of stored objects, checked once at the door: what is called a certificate is one."""

import re

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from privyseal.errors import FieldError, InvalidRequestError
from privyseal.model.objects import VALUE_MAX, ObjectClass, StoredObject
from privyseal.wire.names import LABEL_MAX, object_id

_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]{0,9})){1,16}")


def checked(wanted: StoredObject) -> StoredObject:
    """Give an object that is what it says it is; raises InvalidRequestError with every field that is wrong."""
    errors = [*_text_errors(wanted), *_id_errors(wanted), *_value_errors(wanted)]
    if wanted.oid is not None and not _OID.fullmatch(wanted.oid):
        errors.append(FieldError("body.oid", "an object identifier has numbers and dots"))
    if wanted.object_class is not ObjectClass.DATA and (wanted.application is not None or wanted.oid is not None):
        errors.append(FieldError("body.class", "application and oid are for data objects"))
    if errors:
        raise InvalidRequestError(*errors)
    return wanted


def _text_errors(wanted: StoredObject) -> list[FieldError]:
    texts = {"label": wanted.label, "application": wanted.application or ""}
    return [
        FieldError(f"body.{name}", f"this has up to {LABEL_MAX} printable characters, and no '*'")
        for name, text in texts.items()
        if len(text) > LABEL_MAX or "*" in text or not text.isprintable()
    ]


def _id_errors(wanted: StoredObject) -> tuple[FieldError, ...]:
    try:
        object_id(wanted.object_id or None)
    except InvalidRequestError as error:
        return error.errors
    return ()


def _value_errors(wanted: StoredObject) -> list[FieldError]:
    if len(wanted.value) > VALUE_MAX:
        return [FieldError("body.value", f"an object has at most {VALUE_MAX} bytes")]
    try:
        if wanted.object_class is ObjectClass.CERTIFICATE:
            x509.load_der_x509_certificate(wanted.value)
        elif wanted.object_class is ObjectClass.PUBLIC_KEY:
            serialization.load_der_public_key(wanted.value)
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        what = {ObjectClass.CERTIFICATE: "X.509 certificate", ObjectClass.PUBLIC_KEY: "SubjectPublicKeyInfo"}
        return [FieldError("body.value", f"this is no {what[wanted.object_class]} in DER")]
    return []
