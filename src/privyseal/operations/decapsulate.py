"""Take the secret out of a capsule (ML-KEM) with the private half of a key."""

from privyseal.model.access import Operation
from privyseal.model.keys import Use
from privyseal.model.mechanisms import Mechanism
from privyseal.operations.appliance import Appliance
from privyseal.operations.apply import Applied, apply, usable
from privyseal.operations.perform import Act, Caller
from privyseal.operations.use_pin import Secret
from privyseal.wire import parameters


async def decapsulate(
    appliance: Appliance,
    caller: Caller,
    act: Act,
    place: tuple[str, str],
    ciphertext: bytes,
    secret: Secret,
    version: int | None = None,
) -> Applied:
    """Give the secret. An altered capsule gives another secret and no error (FIPS 203, section 6.3).

    Raises: as `decrypt`.
    """
    known = await usable(appliance, caller, act, place, Operation.KEY_DECRYPT, version, opens=True)
    wish = parameters.wanted(known.key.type, Use.DECRYPT, Mechanism.ML_KEM, {})
    parameters.check_data(known.key.type, wish, ciphertext, "ciphertext")
    return await apply(appliance, caller, act, known, wish, ciphertext, secret)
