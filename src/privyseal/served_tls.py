"""What an API worker serves: a TLS context that takes a new certificate while connections go on with the old one."""

import logging
import ssl
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509

from privyseal.tls import TLSFiles

_log = logging.getLogger("privyseal.tls")
_Mark = tuple[int, int, int]


class ServedTLS:
    """The certificate in force in this worker.

    Args:
        files: where it is kept.
        context: what was made of these files just now.
    """

    def __init__(self, files: TLSFiles, context: ssl.SSLContext) -> None:
        self.files = files
        self._context = context
        self._mark = _mark(files.certificate)
        self.chain: Sequence[x509.Certificate] = files.chain()

    def look(self) -> None:
        """Serve what the file holds if it has changed. What cannot be served is logged, and the old one goes on."""
        mark = _mark(self.files.certificate)
        if mark in (self._mark, None):
            return
        self._mark = mark
        try:
            self.chain = self._load()
        except (OSError, ValueError) as error:
            _log.warning("the TLS certificate in force stays, what is in its file cannot be served: %s", error)

    def _load(self) -> Sequence[x509.Certificate]:
        """Load the file; first elsewhere, because a context that is in use would lose its key by one that is wrong."""
        chain = self.files.chain()
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.files.certificate)
        self._context.load_cert_chain(self.files.certificate)
        return chain


def _mark(path: Path) -> _Mark | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
