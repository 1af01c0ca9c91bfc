"""The rows of the table, in its order: what each is measured in, against what, and what the design wants of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One row; `reach` is the ratio that the design's section 11 asks for, None for peers and limits."""

    name: str
    unit: str
    to: str
    reach: float | None = None
    more_is_better: bool = True


_SPEED = "openssl speed, one core"
_FILE = "a key file"
ROWS = (
    Row("openssl speed", "signatures/s", _SPEED),
    Row("bare cryptography loop", "signatures/s", _SPEED),
    Row("one signature per request", "signatures/s", _SPEED, 0.18),
    Row("batches of 100", "signatures/s", _SPEED, 0.50),
    Row("RSA-4096", "signatures/s", "a bare loop on all cores", 0.90),
    Row("two workers over one", "batches/s", "one worker and its keeper on one core", 1.6),
    Row("PKCS#11, 16 threads", "signatures/s", _SPEED, 0.20),
    Row("PKCS#11, 1 thread", "signatures/s", _SPEED),
    Row("SoftHSM2 in process, 1 thread", "signatures/s", _SPEED),
    Row("SoftHSM2 in process, 16 threads", "signatures/s", _SPEED),
    Row("openssl dgst with a key file", "ms", _FILE),
    Row("openssl dgst through the module", "ms", _FILE, 3.0, more_is_better=False),
    Row("openssl dgst through SoftHSM2", "ms", _FILE),
    Row("start to ready", "s", "1 s", 2.0, more_is_better=False),
    Row("find by label, REST", "ms", "1 ms", 10.0, more_is_better=False),
    Row("find by label, PKCS#11", "ms", "1 ms", 10.0, more_is_better=False),
)
