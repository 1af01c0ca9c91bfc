"""What a reload puts into force, and what it names instead."""

import dataclasses
from pathlib import Path

from privyseal.settings import Options, renewed

NOW = Options(data=Path("data"), host="127.0.0.1", port=8443, database=None, workers=2)


def test_what_can_change_is_in_force() -> None:
    """And nothing is named then."""
    wanted = dataclasses.replace(NOW, access_log=True)
    assert renewed(NOW, wanted) == (wanted, [])


def test_what_needs_a_new_start_is_named_as_the_setting_is() -> None:
    """`listen` is one setting, whichever of host and port was changed, and named once."""
    wanted = dataclasses.replace(NOW, host="0.0.0.0", port=443, log_format="json", key_file=Path("key"))  # noqa: S104
    assert renewed(NOW, wanted) == (NOW, ["listen", "key-file", "log-format"])
    assert renewed(NOW, dataclasses.replace(NOW, port=443)) == (NOW, ["listen"])
