"""A core: an independent partition with its own keys, PIN rules and audit view. It is what PKCS #11 calls a token."""

from dataclasses import dataclass
from datetime import datetime

PIN_MIN = 8
PIN_MAX = 128
PIN_DELAY_FROM = 5
PIN_LOCK_AT = 10
WRONG_PINS = (1, 100)
"""What both limits can be. More than 100 wrong ones in a row are too many in any case: SP 800-63B, section 5.2.2."""
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
        pin_delay_from: the number of wrong PINs after which the next one has to wait.
        pin_lock_at: the number of wrong PINs after which an administrator has to unlock the user or the key.
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
    pin_delay_from: int = PIN_DELAY_FROM
    pin_lock_at: int = PIN_LOCK_AT
