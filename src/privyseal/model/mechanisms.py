"""Mechanisms and hashes by the names that REST, CLI and the record use."""

import enum
from dataclasses import dataclass


class Mechanism(enum.Enum):
    """A key operation, apart from its hash."""

    AES_CBC = "AES-CBC"  # SP 800-38A, section 6.2
    AES_CBC_PAD = "AES-CBC-PAD"  # the same with the padding of RFC 5652, section 6.3
    AES_CMAC = "AES-CMAC"  # SP 800-38B
    AES_CTR = "AES-CTR"  # SP 800-38A, section 6.5
    AES_ECB = "AES-ECB"  # SP 800-38A, section 6.1
    AES_GCM = "AES-GCM"  # SP 800-38D
    AES_KW = "AES-KW"  # RFC 3394
    AES_KWP = "AES-KWP"  # RFC 5649
    ECDH = "ECDH"  # SP 800-56A, section 5.7.1.2; RFC 7748 for X25519 and X448
    ECDSA = "ECDSA"  # FIPS 186-5, section 6
    EDDSA = "EdDSA"  # RFC 8032
    HASH_ML_DSA = "HashML-DSA"  # FIPS 204, section 5.4
    HKDF = "HKDF"  # RFC 5869
    HMAC = "HMAC"  # FIPS 198-1
    ML_DSA = "ML-DSA"  # FIPS 204, section 5.2
    ML_KEM = "ML-KEM"  # FIPS 203
    RSA_OAEP = "RSA-OAEP"  # RFC 8017, section 7.1
    RSA_PKCS1 = "RSA-PKCS1"  # RFC 8017, section 8.2
    RSA_PSS = "RSA-PSS"  # RFC 8017, section 8.1
    SP800_108_COUNTER = "SP800-108-COUNTER"  # SP 800-108, section 4.1, with HMAC


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


MAC_MECHANISMS = frozenset({Mechanism.HMAC, Mechanism.AES_CMAC})
"""What only the secret key can verify."""
MESSAGE_MECHANISMS = frozenset({Mechanism.EDDSA, Mechanism.ML_DSA, *MAC_MECHANISMS})
"""What takes the message itself, and hashes it by itself if at all."""
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
        length: HMAC and AES-CMAC only, bytes of the result; None means all.
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
    length: int | None = None

    @property
    def name(self) -> str:
        """The mechanism as the record writes it, for example `ECDSA-SHA-256`."""
        name = f"{self.mechanism.value}-{self.hash.value}" if self.hash else self.mechanism.value
        return f"{name}-mu" if self.mu else name

    @property
    def hashes_first(self) -> bool:
        """Whether data is hashed before it goes in."""
        return self.hash is not None and self.mechanism is not Mechanism.HMAC

    @property
    def takes_message(self) -> bool:
        """Whether what goes in is the message itself, and no digest that somebody computed."""
        return self.mechanism in MESSAGE_MECHANISMS and not self.mu
