"""Keys as everybody may know them. Nothing here holds, names or hints at private bytes."""

import enum
from dataclasses import dataclass
from datetime import datetime

from privyseal.model.mechanisms import Hash, Mechanism


class Family(enum.Enum):
    """What kind of mathematics a key uses."""

    AES = "aes"
    EC = "ec"
    ED = "ed"
    ML_DSA = "ml-dsa"
    ML_KEM = "ml-kem"
    RSA = "rsa"
    SECRET = "secret"  # noqa: S105 - PKCS #11's generic secret: bytes for HMAC and derivation
    X = "x"


class Use(enum.Enum):
    """What the private or secret half of a key can do, by the words of its policy."""

    SIGN = "sign"
    ENCRYPT = "encrypt"
    DECRYPT = "decrypt"
    DERIVE = "derive"
    WRAP = "wrap"
    UNWRAP = "unwrap"


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
    ML_KEM_768 = "ml-kem-768"
    ML_KEM_1024 = "ml-kem-1024"
    X25519 = "x25519"
    X448 = "x448"
    AES_128 = "aes:128"
    AES_192 = "aes:192"
    AES_256 = "aes:256"
    SECRET_128 = "secret:128"  # noqa: S105 - a type, as are the next five
    SECRET_160 = "secret:160"  # noqa: S105
    SECRET_224 = "secret:224"  # noqa: S105
    SECRET_256 = "secret:256"  # noqa: S105
    SECRET_384 = "secret:384"  # noqa: S105
    SECRET_512 = "secret:512"  # noqa: S105

    @property
    def family(self) -> Family:
        """The mathematics behind this type."""
        return _FAMILIES[self]

    @property
    def bits(self) -> int:
        """The length of an RSA modulus, of a curve's order or of a secret, in bits; 0 where there is no such thing."""
        return _BITS.get(self, 0)

    @property
    def is_symmetric(self) -> bool:
        """Whether there is one secret and no public half."""
        return self.family in (Family.AES, Family.SECRET)

    @property
    def mechanisms(self) -> tuple[Mechanism, ...]:
        """All mechanisms of this type, those that sign first."""
        return _MECHANISMS[self.family]

    @property
    def hashes(self) -> tuple[Hash, ...]:
        """The hashes that may be named with keys of this type."""
        return tuple(Hash) if self.family in _HASHED else ()

    @property
    def uses(self) -> tuple[Use, ...]:
        """What a key of this type can do."""
        return tuple(_USES[self.family])

    def mechanisms_for(self, use: Use) -> tuple[Mechanism, ...]:
        """Give the mechanisms for one use; the first is the one meant when none is named. Empty if it cannot do it."""
        return _USES[self.family].get(use, ())


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
    KeyType.X25519: 256,
    KeyType.X448: 448,
    **{one: int(one.value.partition(":")[2]) for one in KeyType if one.value.startswith(("aes:", "secret:"))},
}
_FAMILIES = {
    key_type: next(family for family in Family if key_type.value.startswith(family.value)) for key_type in KeyType
}
_CIPHERS = (Mechanism.AES_GCM, Mechanism.AES_CBC_PAD, Mechanism.AES_CBC, Mechanism.AES_CTR, Mechanism.AES_ECB)
_RSA_CIPHERS = (Mechanism.RSA_OAEP, Mechanism.RSA_PKCS1)
_WRAPPERS = (Mechanism.AES_KW, Mechanism.AES_KWP)
_USES: dict[Family, dict[Use, tuple[Mechanism, ...]]] = {
    Family.AES: {
        Use.SIGN: (Mechanism.AES_CMAC,),
        Use.ENCRYPT: _CIPHERS,
        Use.DECRYPT: _CIPHERS,
        Use.WRAP: _WRAPPERS,
        Use.UNWRAP: _WRAPPERS,
    },
    Family.EC: {Use.SIGN: (Mechanism.ECDSA,), Use.DERIVE: (Mechanism.ECDH,)},
    Family.ED: {Use.SIGN: (Mechanism.EDDSA,)},
    Family.ML_DSA: {Use.SIGN: (Mechanism.ML_DSA, Mechanism.HASH_ML_DSA)},
    Family.ML_KEM: {Use.ENCRYPT: (Mechanism.ML_KEM,), Use.DECRYPT: (Mechanism.ML_KEM,)},
    Family.RSA: {
        Use.SIGN: (Mechanism.RSA_PKCS1, Mechanism.RSA_PSS),
        Use.ENCRYPT: _RSA_CIPHERS,
        Use.DECRYPT: _RSA_CIPHERS,
        Use.WRAP: (Mechanism.RSA_OAEP,),
        Use.UNWRAP: (Mechanism.RSA_OAEP,),
    },
    Family.SECRET: {Use.SIGN: (Mechanism.HMAC,), Use.DERIVE: (Mechanism.HKDF, Mechanism.SP800_108_COUNTER)},
    Family.X: {Use.DERIVE: (Mechanism.ECDH,)},
}
_MECHANISMS = {
    family: tuple(dict.fromkeys(mechanism for ways in uses.values() for mechanism in ways))
    for family, uses in _USES.items()
}
_HASHED = frozenset({Family.EC, Family.ML_DSA, Family.RSA, Family.SECRET})


@dataclass(frozen=True, slots=True)
class Key:
    """A key's public record.

    Attributes:
        id: 16 hexadecimal digits, ours, never changed.
        label: the user's name for it, unique in its core.
        public_key: DER of the SubjectPublicKeyInfo (RFC 5280, section 4.1); empty for a symmetric key.
        has_pin: whether a PIN is needed to use it.
        sealed: the private half as only the keeper can open it.
        policy: what the seal binds the key to, as the keeper wrote it (msgpack of `wire.frames.Policy`).
        version: how often the key was rotated, from 1.
        disabled: whether it refuses use until it is enabled again.
        destroy_at: when it will be destroyed; it refuses use from the moment that this is said.
        rotate_after: days after which the appliance makes a new version by itself.
        version_created: when this version was made; None means with the key.
        current: whether this is the newest version.
        object_id: PKCS #11's CKA_ID in hexadecimal, which need not be unique; the key's id unless somebody set another.
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
    object_id: str = ""

    def __post_init__(self) -> None:
        """Let a key that nobody gave an object id be known by its id."""
        if not self.object_id:
            object.__setattr__(self, "object_id", self.id)

    @property
    def state(self) -> str:
        """Whether it may be used: `active`, `disabled`, or `scheduled` for destruction."""
        if self.destroy_at is not None:
            return "scheduled"
        return "disabled" if self.disabled else "active"

    @property
    def hashes(self) -> tuple[Hash, ...]:
        """The hashes that may be named with this key."""
        return self.type.hashes
