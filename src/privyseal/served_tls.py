"""The TLS certificate that a worker serves: another one takes its place while connections go on with the old one."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography import x509

from privyseal.errors import UnavailableError
from privyseal.tls import TLSFiles

_log = logging.getLogger("privyseal.tls")
_Mark = tuple[int, int, int]


class ServedTLS:
    """The certificate in force in this worker.

    Args:
        files: where it is kept.
        renew: serves what the file holds now; raises OSError or ValueError, UnavailableError, and changes nothing then.
    """

    def __init__(self, files: TLSFiles, renew: Callable[[], None]) -> None:
        self.files = files
        self._renew = renew
        self._mark = _mark(files.certificate)
        self.chain: Sequence[x509.Certificate] = files.chain()

    def look(self) -> None:
        """Serve what the file holds if it has changed. What cannot be served is logged, and the old one goes on."""
        mark = _mark(self.files.certificate)
        if mark in (self._mark, None):
            return
        try:
            chain = self.files.chain()
            self._renew()
            self.chain = chain
        except UnavailableError:  # the database is away: the next look tries again
            return
        except (OSError, ValueError) as error:
            _log.warning("the TLS certificate in force stays, what is in its file cannot be served: %s", error)
        self._mark = mark


def _mark(path: Path) -> _Mark | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
