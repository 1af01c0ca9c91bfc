"""How often things go wrong: a few times in `make test`, and `make soak` (`PRIVYSEAL_SOAK=1`) repeats them."""

import os

SOAK = bool(os.environ.get("PRIVYSEAL_SOAK"))
TIMEOUT = 7200 if SOAK else 900
"""Seconds for one test: on a quiet machine with two cores none takes one, and a busy one may take ten times as long."""


def times(few: int) -> int:
    """So often, or twenty times as often."""
    return 20 * few if SOAK else few
