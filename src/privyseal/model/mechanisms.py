"""Mechanisms and hashes by the names that REST, CLI and the record use."""

import enum
from dataclasses import dataclass


class Mechanism(enum.Enum):
    """A key operation, apart from its hash."""

    ECDSA = "ECDSA"  # FIPS 186-5, section 6
    EDDSA = "EdDSA"  # RFC 8032
    HASH_ML_DSA = "HashML-DSA"  # FIPS 204, section 5.4
    ML_DSA = "ML-DSA"  # FIPS 204, section 5.2
    RSA_PKCS1 = "RSA-PKCS1"  # RFC 8017, section 8.2
    RSA_PSS = "RSA-PSS"  # RFC 8017, section 8.1


class Hash(enum.Enum):
    """A hash function of FIPS 180-4 or FIPS 202."""

    SHA_224 = "SHA-224"
    SHA_256 = "SHA-256"
    SHA_384 = "SHA-384"
    SHA_512 = "SHA-512"
    SHA3_224 = "SHA3-224"
    SHA3_256 = "SHA3-256"
    SHA3_384 = "SHA3-384"
    SHA3_512 = "SHA3-512"

    @property
    def length(self) -> int:
        """The length of a digest, in bytes."""
        return _LENGTHS[self]

    @property
    def python_name(self) -> str:
        """The name that `hashlib.new` knows."""
        return self.value.lower().replace("sha3-", "sha3_").replace("sha-", "sha")


MESSAGE_MECHANISMS = frozenset({Mechanism.EDDSA, Mechanism.ML_DSA})
"""What hashes by itself, if at all."""
_LENGTHS = {hash_: int(hash_.value[-3:]) // 8 for hash_ in Hash}


class Encoding(enum.Enum):
    """How an ECDSA signature is written down."""

    DER = "der"  # Ecdsa-Sig-Value, RFC 3279, section 2.2.3
    RAW = "raw"  # r and s of equal length, PKCS #11 v3.1, section 6.3.1


@dataclass(frozen=True, slots=True)
class Scheme:
    """One mechanism with all its parameters.

    Attributes:
        hash: None where the input is signed as it comes (EdDSA; raw ECDSA and RSA-PKCS1 input).
        salt_length: RSA-PSS only, bytes; None means the length of the hash.
        mgf_hash: RSA-PSS only; None means the same as `hash`.
        encoding: matters for ECDSA only.
        context: ML-DSA and HashML-DSA only, at most 255 bytes.
        mu: ML-DSA only: whether the input is the message representative of FIPS 204, algorithm 7, line 6 (64 bytes),
            which the caller computed of the message, the context and the public key.
    """

    mechanism: Mechanism
    hash: Hash | None = None
    salt_length: int | None = None
    mgf_hash: Hash | None = None
    encoding: Encoding = Encoding.DER
    context: bytes = b""
    mu: bool = False

    @property
    def name(self) -> str:
        """The mechanism as the record writes it, for example `ECDSA-SHA-256`."""
        name = f"{self.mechanism.value}-{self.hash.value}" if self.hash else self.mechanism.value
        return f"{name}-mu" if self.mu else name

    @property
    def takes_message(self) -> bool:
        """Whether what goes in is the message itself, and no digest that somebody computed."""
        return self.mechanism in MESSAGE_MECHANISMS and not self.mu
