"""Keys as everybody may know them. Nothing here holds, names or hints at private bytes."""

import enum
from dataclasses import dataclass
from datetime import datetime

from privyseal.model.mechanisms import Hash, Mechanism


class Family(enum.Enum):
    """What kind of mathematics a key uses."""

    EC = "ec"
    ED = "ed"
    ML_DSA = "ml-dsa"
    RSA = "rsa"


class KeyType(enum.Enum):
    """The key types that can be made here. The value is the word used in REST, CLI and the record."""

    RSA_2048 = "rsa:2048"
    RSA_3072 = "rsa:3072"
    RSA_4096 = "rsa:4096"
    RSA_8192 = "rsa:8192"
    P256 = "ec:P-256"
    P384 = "ec:P-384"
    P521 = "ec:P-521"
    SECP256K1 = "ec:secp256k1"
    BRAINPOOL_P256R1 = "ec:brainpoolP256r1"
    BRAINPOOL_P384R1 = "ec:brainpoolP384r1"
    BRAINPOOL_P512R1 = "ec:brainpoolP512r1"
    ED25519 = "ed25519"
    ED448 = "ed448"
    ML_DSA_44 = "ml-dsa-44"
    ML_DSA_65 = "ml-dsa-65"
    ML_DSA_87 = "ml-dsa-87"

    @property
    def family(self) -> Family:
        """The mathematics behind this type."""
        return _FAMILIES[self]

    @property
    def bits(self) -> int:
        """The length of an RSA modulus or of a curve's order, in bits; 0 where there is no such thing."""
        return _BITS.get(self, 0)

    @property
    def mechanisms(self) -> tuple[Mechanism, ...]:
        """The mechanisms of this type; the first is the one meant when none is named."""
        return _MECHANISMS[self.family]


_BITS = {
    KeyType.RSA_2048: 2048,
    KeyType.RSA_3072: 3072,
    KeyType.RSA_4096: 4096,
    KeyType.RSA_8192: 8192,
    KeyType.P256: 256,
    KeyType.P384: 384,
    KeyType.P521: 521,
    KeyType.SECP256K1: 256,
    KeyType.BRAINPOOL_P256R1: 256,
    KeyType.BRAINPOOL_P384R1: 384,
    KeyType.BRAINPOOL_P512R1: 512,
    KeyType.ED25519: 256,
    KeyType.ED448: 448,
}
_FAMILIES = {
    key_type: next(family for family in Family if key_type.value.startswith(family.value)) for key_type in KeyType
}
_MECHANISMS = {
    Family.EC: (Mechanism.ECDSA,),
    Family.ED: (Mechanism.EDDSA,),
    Family.ML_DSA: (Mechanism.ML_DSA, Mechanism.HASH_ML_DSA),
    Family.RSA: (Mechanism.RSA_PKCS1, Mechanism.RSA_PSS),
}


@dataclass(frozen=True, slots=True)
class Key:
    """A key's public record.

    Attributes:
        id: 16 hexadecimal digits, ours, never changed.
        label: the user's name for it, unique in its core.
        public_key: DER of the SubjectPublicKeyInfo (RFC 5280, section 4.1).
        has_pin: whether a PIN is needed to use it.
        sealed: the private half as only the keeper can open it.
        policy: what the seal binds the key to, as the keeper wrote it (msgpack of `wire.frames.Policy`).
        version: how often the key was rotated, from 1.
        disabled: whether it refuses use until it is enabled again.
        destroy_at: when it will be destroyed; it refuses use from the moment that this is said.
        rotate_after: days after which the appliance makes a new version by itself.
        version_created: when this version was made; None means with the key.
        current: whether this is the newest version.
        tags: words and `name=value`, in alphabetical order, at most one of a name.
    """

    id: str
    core: int
    label: str
    type: KeyType
    public_key: bytes
    has_pin: bool
    sealed: bytes
    policy: bytes
    version: int
    created: datetime
    disabled: bool = False
    destroy_at: datetime | None = None
    rotate_after: int | None = None
    version_created: datetime | None = None
    current: bool = True
    tags: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """Whether it may be used: `active`, `disabled`, or `scheduled` for destruction."""
        if self.destroy_at is not None:
            return "scheduled"
        return "disabled" if self.disabled else "active"

    @property
    def hashes(self) -> tuple[Hash, ...]:
        """The hashes that may go before a signature with this key."""
        return () if self.type.family is Family.ED else tuple(Hash)
