"""A core: an independent partition with its own keys, PIN rules and audit view. It is what PKCS #11 calls a token."""

from dataclasses import dataclass
from datetime import datetime

PIN_MIN = 8
PIN_MAX = 128
DESTROY_DAYS = (7, 365)
"""The shortest and the longest time between the request to destroy a key and its end."""
MANUFACTURER = "Privyseal"
MODEL = "Privyseal core"


@dataclass(frozen=True, slots=True)
class Core:
    """One partition.

    Attributes:
        number: counted from 1.
        pin_required: whether every key made here must have a PIN.
        pin_salt: 16 random bytes that go before each PIN of this core.
        serial: the token's serial number, decimal digits; PKCS #11 hosts use it as slot id too.
        token_label: what PKCS #11 hosts see as the token's label, at most 32 bytes of UTF-8.
        revision: counts the changes to its keys, so that a listing can be revalidated.
        destroy_days: the least number of days between the request to destroy a key and its end; 0 lets administrators
            destroy one at once.
    """

    number: int
    name: str
    pin_required: bool
    pin_salt: bytes
    serial: str
    token_label: str
    manufacturer: str
    model: str
    revision: int
    created: datetime
    destroy_days: int = 30
