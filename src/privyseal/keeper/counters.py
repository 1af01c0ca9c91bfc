"""How often a key with a limited number of uses has been used.

The keeper writes no file, so the count goes out sealed, with the signatures, and comes back with the next request. It
is bound to the key and its version like the key itself, and holds a number and nothing else. While the keeper runs, its
memory has the last word: no count lower than one that was given out is ever believed, and two workers at once get
different uses. Only over a restart of the keeper could an older count come back, from whoever can write to the
database; the record then shows two signatures of the same key with the same number.
"""

import threading

from privyseal.keeper import sealing
from privyseal.keeper.custody import Custody
from privyseal.keeper.domain import DamagedError
from privyseal.keeper.refused import RefusedError
from privyseal.wire import frames
from privyseal.wire.frames import Policy, SealedKey

TYPE = frames.USE_COUNTER
"""What stands for the key's type in the associated data, so that neither can be taken for the other."""
_LENGTH = 8


class Counters:
    """The counts that this process knows, by key id and version."""

    def __init__(self, custody: Custody) -> None:
        self._custody = custody
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, int], int] = {}

    def new(self, record: SealedKey) -> bytes:
        """Seal the count of a key that was not used yet."""
        return self.seal(record, 0)

    def take(self, record: SealedKey, counter: bytes | None, uses: int, limit: int) -> int:
        """Take some uses of a key, before it is used; gives the number of the last. Raises RefusedError.

        A use that was taken is gone, also when the signature fails afterwards.
        """
        with self._lock:
            count = self._current(record, counter)
            if count + uses > limit:
                raise RefusedError(frames.POLICY, f"the key's policy allows {limit} uses, and {count} are used up")
            self._counts[record.id, record.version] = count + uses
        return count + uses

    def use(
        self, record: SealedKey, policy: Policy, counter: bytes | None, uses: int = 1
    ) -> tuple[int, bytes] | tuple[None, None]:
        """Take uses, if the policy limits them; gives the number of the last, and that sealed. Raises as `take`."""
        if policy.max_uses is None:
            return None, None
        last = self.take(record, counter, uses, policy.max_uses)
        return last, self.seal(record, last)

    def seal(self, record: SealedKey, count: int) -> bytes:
        """Seal a count that was taken."""
        blank = _record(record, b"")
        return sealing.close(self._custody.domain(), blank, count.to_bytes(_LENGTH, "big"), None).sealed

    def carried(self, record: SealedKey, counter: bytes | None) -> bytes:
        """Seal the present count anew, for a key whose policy changes; without a counter there was no limit before."""
        known = self._counts.get((record.id, record.version), 0)
        return self.seal(record, known if counter is None else self._current(record, counter))

    def _current(self, record: SealedKey, counter: bytes | None) -> int:
        if counter is None:
            raise DamagedError("a key with limited uses comes with its count")
        count = int.from_bytes(self._custody.open_outer(_record(record, counter)), "big")
        return max(count, self._counts.get((record.id, record.version), 0))


def _record(record: SealedKey, sealed: bytes) -> SealedKey:
    return SealedKey(record.id, record.core, TYPE, record.version, b"", sealed)
