"""The names under which secrets travel in our documents; what keeps or logs a document leaves their values out."""

from typing import Any

SECRET_NAMES = frozenset(
    {
        "authorization",
        "idempotency-key",
        "key_file",
        "new",
        "old",
        "passphrase",
        "password",
        "pin",
        "secret",
        "share",
        "shares",
        "ticket",
        "token",
    }
)


def without_secrets(value: Any) -> Any:
    """Give a JSON value in which every text under such a name, also in a list, has become None.

    Numbers, booleans and objects stay: `"pin": true` says that a key has one.
    """
    if isinstance(value, dict):
        return {
            name: None if name.lower() in SECRET_NAMES and _is_text(item) else without_secrets(item)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [without_secrets(item) for item in value]
    return value


def _is_text(value: object) -> bool:
    if isinstance(value, list | tuple):
        return any(_is_text(item) for item in value)
    return isinstance(value, str | bytes)
