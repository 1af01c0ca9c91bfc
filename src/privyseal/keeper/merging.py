"""Sealing keys of a backup with the domain key that is here, so that they can be put back into the running appliance.

Only a backup of this same appliance is opened: its domain key has to be an earlier, later or the present one of ours.
Whoever knows a recipient's public key can seal a file for it, but cannot put kin of our domain key inside.
"""

from privyseal.keeper import backups, sealing
from privyseal.keeper.custody import Custody
from privyseal.keeper.domain import DamagedError, Secrets
from privyseal.keeper.refused import RefusedError
from privyseal.wire import frames
from privyseal.wire.frames import Answer


def open_merge(custody: Custody, request: frames.OpenMerge) -> Answer:
    """Open a backup. Raises DamagedError if the secret does not fit, RefusedError if it is another appliance's."""
    contents = backups.unseal(request.sealed, request.secret, request.salt)
    ours, theirs = custody.secrets().current, Secrets.decode(contents.secrets).current
    if not ours.is_kin(theirs):
        raise RefusedError(
            frames.FOREIGN, "this is a backup of another appliance; restore it into a directory of its own"
        )
    return frames.OpenedMerge(contents.file_key, ours.seal_merge(contents.secrets))


def reseal(custody: Custody, request: frames.ResealMerged) -> Answer:
    """Seal records anew; the layer under a PIN is not touched. Raises DamagedError for other domain keys than ours."""
    theirs = Secrets.decode(custody.secrets().current.unseal_merge(request.secrets))
    sealed: list[bytes | None] = []
    damaged: list[int] = []
    for index, record in enumerate(request.records):
        sealed.append(None)
        try:
            inner = sealing.open_either(theirs, record)  # the backup may have been made during a rotation
        except DamagedError:
            damaged.append(index)
            continue
        sealed[-1] = sealing.close_outer(custody.domain(), record, inner).sealed
    return frames.Resealed(tuple(sealed), tuple(damaged))
