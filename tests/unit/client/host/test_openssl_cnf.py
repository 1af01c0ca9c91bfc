"""openssl.cnf: read as OpenSSL reads it, and what we add judged by openssl itself."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from privyseal.client.errors import ConfigurationError
from privyseal.client.host import openssl_cnf
from privyseal.client.host.openssl import ENGINE, PROVIDER, OpenSSL

MODULE = Path("/opt/privyseal/privyseal-pkcs11.so")
ENGINE_FILE, PROVIDER_FILE = Path("/engines/pkcs11.so"), Path("/modules/pkcs11.so")
SYSTEM = """\
HOME = .   # a comment
openssl_conf = openssl_init
config_diagnostics = 1

[ openssl_init ]
providers = provider_sect
ssl_conf = \\
  ssl_sect

[provider_sect]
default = default_sect

[default_sect]
# activate = 1
"""


def here(*, engine: bool = False, provider: bool = False, version: str = "3.5.7") -> OpenSSL:
    """An OpenSSL with one of the two, or both."""
    return OpenSSL(
        program=Path("openssl"),
        version=version,
        configuration=Path("/etc/ssl/openssl.cnf"),
        engine=ENGINE_FILE if engine else None,
        provider=PROVIDER_FILE if provider else None,
    )


def written(folder: Path, text: str, name: str = "openssl.cnf") -> Path:
    """A file with this text."""
    path = folder / name
    path.write_text(text)
    return path


def test_sections_comments_and_continued_lines(tmp_path: Path) -> None:
    found = openssl_cnf.read(written(tmp_path, SYSTEM))
    assert found.get("default", "HOME") == "."
    assert found.get("openssl_init", "ssl_conf") == "ssl_sect"
    assert found.get("default_sect", "activate") is None
    assert found.get("nowhere", "activate") is None


def test_of_two_lines_the_last_holds_and_includes_are_read(tmp_path: Path) -> None:
    """Also a folder of files, and a name with its section before it."""
    (tmp_path / "more").mkdir()
    written(tmp_path / "more", "[a]\nb = 2\n", "one.cnf")
    written(tmp_path / "more", "[a]\nb = 3\nx = .include = 5\n", "two.conf")
    text = f"[a]\nb = 1\n.pragma dollarid:on\n.include {tmp_path}/more\nd::e = 'four'\n"
    found = openssl_cnf.read(written(tmp_path, text))
    assert (found.get("a", "b"), found.get("d", "e")) == ("3", "four")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\n[open\n", "line 2: the section's name has no closing bracket"),
        ("a = 1\n\nnonsense\n", "line 3: there is no equal sign in 'nonsense'"),
    ],
)
def test_what_openssl_could_not_read(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=message):
        openssl_cnf.read(written(tmp_path, text))


def test_an_include_that_is_not_there_is_passed_over(tmp_path: Path) -> None:
    """As OpenSSL does it, which is asked here, too."""
    file = written(tmp_path, f".include {tmp_path}/nothing.cnf\n[a]\nb = 1\n")
    assert openssl_cnf.read(file).get("a", "b") == "1"
    subprocess.run(["openssl", "version"], env={**os.environ, "OPENSSL_CONF": str(file)}, check=True)
    subprocess.run(["openssl", "list", "-providers"], env={**os.environ, "OPENSSL_CONF": str(file)}, check=True)


def test_a_file_that_includes_itself(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="included too deeply"):
        openssl_cnf.read(written(tmp_path, f".include {tmp_path}/openssl.cnf\n"))


def test_an_engine_is_added_to_what_the_system_has(tmp_path: Path) -> None:
    system = written(tmp_path, SYSTEM, "system.cnf")
    ours = written(tmp_path, openssl_cnf.including(system, here(engine=True, version="3.0.19"), MODULE))
    found = openssl_cnf.read(ours)
    assert openssl_cnf.reach(found) == openssl_cnf.Reach(ENGINE, MODULE, ENGINE_FILE)
    assert found.get("openssl_init", "providers") == "provider_sect"
    assert openssl_cnf.reach(openssl_cnf.read(system)) is None


def test_a_provider_is_added_and_the_default_one_activated(tmp_path: Path) -> None:
    """Or else naming ours would switch it off."""
    system = written(tmp_path, SYSTEM, "system.cnf")
    found = openssl_cnf.read(written(tmp_path, openssl_cnf.including(system, here(provider=True), MODULE)))
    assert openssl_cnf.reach(found) == openssl_cnf.Reach(PROVIDER, MODULE, PROVIDER_FILE)
    assert found.get("default_sect", "activate") == "1"
    assert found.get("provider_sect", "default") == "default_sect"


def test_providers_that_the_system_chose_stay_chosen(tmp_path: Path) -> None:
    """Where FIPS is activated and default is not, we do not activate it either."""
    chosen = SYSTEM.replace("default = default_sect", "fips = fips_sect") + "[fips_sect]\nactivate = 1\n"
    system = written(tmp_path, chosen, "system.cnf")
    found = openssl_cnf.read(written(tmp_path, openssl_cnf.including(system, here(provider=True), MODULE)))
    assert openssl_cnf.reach(found)
    assert found.get("provider_sect", "default") is None
    assert found.get("default_sect", "activate") is None


@pytest.mark.parametrize("kind", ["engine", "provider"])
def test_a_system_file_that_names_nothing_or_is_not_there(kind: str, tmp_path: Path) -> None:
    """OpenSSL 4.0's `x509 -req` wants extensions to be named where the system's file does not."""
    openssl = here(**{kind: True})
    bare = openssl_cnf.including(tmp_path / "none.cnf", openssl, MODULE)
    empty = openssl_cnf.including(written(tmp_path, "", "system.cnf"), openssl, MODULE)
    for text in (bare, empty):
        assert openssl_cnf.reach(openssl_cnf.read(written(tmp_path, text)))
    assert openssl_cnf.read(written(tmp_path, bare)).get("default", "extensions") == "privyseal_extensions"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
@pytest.mark.parametrize("system", ["", SYSTEM.replace("ssl_conf = \\\n  ssl_sect\n", "")])
def test_openssl_reads_it_as_we_mean_it(system: str, tmp_path: Path) -> None:
    """An engine that is not there is looked for where the file says: OpenSSL has followed every section to it."""
    text = openssl_cnf.including(written(tmp_path, system, "system.cnf"), here(engine=True, version="3.0.19"), MODULE)
    ours = written(tmp_path, text.replace("[default]", "[default]\nconfig_diagnostics = 1"))
    environment = {**os.environ, "OPENSSL_CONF": str(ours)}
    done = subprocess.run(
        ["openssl", "list", "-providers"], env=environment, capture_output=True, text=True, check=False
    )
    assert str(ENGINE_FILE) in done.stderr
