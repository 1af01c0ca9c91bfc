"""One use of a key beside signing."""

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap

from privyseal.keeper import symmetric
from privyseal.keeper.verbs import Key
from privyseal.model.keys import Use
from privyseal.model.mechanisms import Hash, Mechanism, Scheme
from privyseal.wire.frames import Apply, Parameters
from privyseal.wire.parameters import VERIFY

DOES_NOT_FIT = (ValueError, InvalidTag, InvalidUnwrap, UnsupportedAlgorithm)
"""What comes of data that does not fit the key; a public key may be on a curve that nobody here knows.

Which of them it was is told to nobody: that would be an oracle.
"""


def use_of(verb: str) -> Use:
    """Say which use the policy has to allow: verifying a MAC is making it once more."""
    return Use.SIGN if verb == VERIFY else Use(verb)


def value_of(key: Key, request: Apply) -> bytes | None:
    """Do what is asked; None when the data does not fit the key."""
    mechanism, parameters = Mechanism(request.mechanism), request.parameters
    try:
        match request.verb:
            case Use.ENCRYPT.value:
                return key.encrypt(mechanism, parameters, request.data)
            case Use.DECRYPT.value:
                return key.decrypt(mechanism, parameters, request.data)
            case Use.DERIVE.value:
                return key.derive(mechanism, parameters)
            case _:
                right = symmetric.verify(key, _scheme(mechanism, parameters), request.data, request.mac)
                return b"\1" if right else b""
    except DOES_NOT_FIT:
        return None


def _scheme(mechanism: Mechanism, parameters: Parameters) -> Scheme:
    hash_ = None if parameters.hash is None else Hash(parameters.hash)
    return Scheme(mechanism, hash_, length=parameters.length)
