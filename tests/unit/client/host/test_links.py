"""Single links of the doctor's chain, where no appliance is needed to see what they do."""

from pathlib import Path

import pytest

from privyseal.client.host.chain import Broken, Patient, walk
from privyseal.client.host.links import module


def test_the_module_is_tried_with_nothing_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may run the doctor in /tmp, where anybody can put a `json.py`."""
    for name in ("json", "ctypes", "privyseal"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a stranger ran')\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Broken, match="cannot open shared object file"):
        module.loads(Patient({"PATH": "/usr/bin:/bin"}, module=tmp_path / "none.so"))


@pytest.mark.parametrize(
    ("error", "saw"),
    [(OSError("no more"), "no more"), (FileNotFoundError(2, "No such file", "a.pem"), "a.pem: No such file")],
)
def test_what_the_system_says_is_told_with_the_file_where_there_is_one(error: OSError, saw: str) -> None:
    def check(patient: Patient) -> str:
        del patient
        raise error

    assert [link.saw for link in walk([("a link", check)], Patient({}))] == [saw]
