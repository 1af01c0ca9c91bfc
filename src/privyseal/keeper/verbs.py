"""What a key can do in here. A private or secret key has verbs and no bytes; each kind overrides those that it has."""

from typing import NoReturn

from privyseal.model.mechanisms import Mechanism, Scheme
from privyseal.wire.frames import Parameters


class WrongVerbError(ValueError):
    """A key of this kind cannot do that."""


class Key:
    """An opened key. Every verb raises ValueError when the input does not fit the key."""

    def sign(self, scheme: Scheme, data: bytes) -> bytes:
        """Sign a digest, or what the mechanism hashes by itself; for a symmetric key, give the MAC."""
        self._cannot(scheme, data)

    def encrypt(self, mechanism: Mechanism, parameters: Parameters, data: bytes) -> bytes:
        """Encrypt data; the tag, where there is one, is behind the ciphertext."""
        self._cannot(mechanism, parameters, data)

    def decrypt(self, mechanism: Mechanism, parameters: Parameters, data: bytes) -> bytes:
        """Give the data back, or for ML-KEM the shared secret."""
        self._cannot(mechanism, parameters, data)

    def derive(self, mechanism: Mechanism, parameters: Parameters) -> bytes:
        """Derive a secret."""
        self._cannot(mechanism, parameters)

    def wrap(self, mechanism: Mechanism, parameters: Parameters, material: bytes) -> bytes:
        """Wrap another key."""
        self._cannot(mechanism, parameters, material)

    def unwrap(self, mechanism: Mechanism, parameters: Parameters, wrapped: bytes) -> bytes:
        """Give another key back."""
        self._cannot(mechanism, parameters, wrapped)

    def _cannot(self, *_: object) -> NoReturn:
        raise WrongVerbError(f"{type(self).__name__} cannot do that")
