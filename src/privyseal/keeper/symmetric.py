"""Secret keys: AES, and the generic secrets of HMAC and key derivation."""

import hmac

from cryptography.hazmat.primitives import keywrap, padding
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode

from privyseal.keeper.verbs import Key
from privyseal.model.mechanisms import Hash, Mechanism, Scheme
from privyseal.wire.frames import Parameters
from privyseal.wire.primitives import HASHES

_BLOCK_BITS = 128
_COUNTER_BYTES = 4  # of the counter and of the length, as SP 800-108 leaves them to the protocol


class AESKey(Key):
    """An AES key (FIPS 197)."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, scheme: Scheme, data: bytes) -> bytes:
        """Give the CMAC (SP 800-38B)."""
        mac = CMAC(AES(self._secret))
        mac.update(data)
        return mac.finalize()[: scheme.length]

    def encrypt(self, mechanism: Mechanism, parameters: Parameters, data: bytes) -> bytes:
        """Encrypt in one of the modes of SP 800-38A, or with GCM (SP 800-38D) and the tag behind."""
        if mechanism is Mechanism.AES_CBC_PAD:
            padder = padding.PKCS7(_BLOCK_BITS).padder()
            data = padder.update(data) + padder.finalize()
        if mechanism is not Mechanism.AES_GCM:
            encryptor = Cipher(AES(self._secret), _mode(mechanism, parameters)).encryptor()
            return encryptor.update(data) + encryptor.finalize()
        sealer = Cipher(AES(self._secret), modes.GCM(parameters.iv)).encryptor()
        sealer.authenticate_additional_data(parameters.aad)
        ciphertext = sealer.update(data) + sealer.finalize()
        return ciphertext + sealer.tag[: parameters.tag_length]

    def decrypt(self, mechanism: Mechanism, parameters: Parameters, data: bytes) -> bytes:
        """Give the data back; raises InvalidTag, or ValueError for a wrong padding. Both are told in the same words."""
        if mechanism is Mechanism.AES_GCM:
            return self._open(parameters, data)
        decryptor = Cipher(AES(self._secret), _mode(mechanism, parameters)).decryptor()
        padded = decryptor.update(data) + decryptor.finalize()
        if mechanism is not Mechanism.AES_CBC_PAD:
            return padded
        unpadder = padding.PKCS7(_BLOCK_BITS).unpadder()
        return unpadder.update(padded) + unpadder.finalize()

    def _open(self, parameters: Parameters, data: bytes) -> bytes:
        ciphertext, tag = data[: -parameters.tag_length], data[-parameters.tag_length :]
        mode = modes.GCM(parameters.iv, tag, min_tag_length=parameters.tag_length)
        opener = Cipher(AES(self._secret), mode).decryptor()
        opener.authenticate_additional_data(parameters.aad)
        return opener.update(ciphertext) + opener.finalize()

    def wrap(self, mechanism: Mechanism, parameters: Parameters, material: bytes) -> bytes:  # noqa: ARG002 - it has none
        """Wrap a key with AES-KW (RFC 3394) or AES-KWP (RFC 5649)."""
        if mechanism is Mechanism.AES_KW:
            return keywrap.aes_key_wrap(self._secret, material)
        return keywrap.aes_key_wrap_with_padding(self._secret, material)

    def unwrap(self, mechanism: Mechanism, parameters: Parameters, wrapped: bytes) -> bytes:  # noqa: ARG002 - as above
        """Give a wrapped key back; raises InvalidUnwrap."""
        if mechanism is Mechanism.AES_KW:
            return keywrap.aes_key_unwrap(self._secret, wrapped)
        return keywrap.aes_key_unwrap_with_padding(self._secret, wrapped)


class SecretKey(Key):
    """A generic secret: bytes for HMAC and for key derivation."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, scheme: Scheme, data: bytes) -> bytes:
        """Give the HMAC (FIPS 198-1)."""
        return hmac.digest(self._secret, data, _named(scheme.hash).python_name)[: scheme.length]

    def derive(self, mechanism: Mechanism, parameters: Parameters) -> bytes:
        """Derive with HKDF (RFC 5869), or in counter mode with HMAC (SP 800-108, section 4.1)."""
        hash_ = _named(None if parameters.hash is None else Hash(parameters.hash))
        length = hash_.length if parameters.length is None else parameters.length
        if mechanism is Mechanism.HKDF:
            return HKDF(HASHES[hash_], length, parameters.salt or None, parameters.info).derive(self._secret)
        kdf = KBKDFHMAC(
            algorithm=HASHES[hash_],
            mode=Mode.CounterMode,
            length=length,
            rlen=_COUNTER_BYTES,
            llen=_COUNTER_BYTES,
            location=CounterLocation.BeforeFixed,
            label=parameters.label,
            context=parameters.context,
            fixed=None,
        )
        return kdf.derive(self._secret)


def verify(key: Key, scheme: Scheme, data: bytes, mac: bytes) -> bool:
    """Say whether a MAC is right, in a time that does not depend on where it differs."""
    return hmac.compare_digest(key.sign(scheme, data), mac)


def _mode(mechanism: Mechanism, parameters: Parameters) -> modes.ECB | modes.CTR | modes.CBC:
    match mechanism:
        case Mechanism.AES_ECB:
            return modes.ECB()  # noqa: S305 - the one who asks answers for it; PKCS #11 programs build on it
        case Mechanism.AES_CTR:
            return modes.CTR(parameters.iv)
        case _:
            return modes.CBC(parameters.iv)


def _named(hash_: Hash | None) -> Hash:
    if hash_ is None:
        raise ValueError("a hash is needed")
    return hash_
