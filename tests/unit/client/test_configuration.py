"""The host's configuration: where it is found, what it may say, and what wins over what."""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.client import configuration as configurations
from privyseal.client.configuration import Configuration
from privyseal.client.errors import ConfigurationError

N200 = """{
  "url": "https://hsm.example/n200/web/postv1",
  "user": "alice",
  "pass": "geheim",
  "core": 1,
  "keygen_pin": "12345678",
  "log_level": 10,
  "log_output": "/tmp/seSAM_p11.log",
}
"""


def write(path: Path, content: str | dict[str, object], mode: int = 0o600) -> Path:
    """A configuration file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(mode)
    return path


def test_the_original_file_is_read_as_it_is(tmp_path: Path) -> None:
    """Hosts of the original appliance keep their file, trailing comma and path included."""
    found = configurations.read(write(tmp_path / "n200.conf", N200))
    assert found == Configuration(
        urls=("https://hsm.example",),
        user="alice",
        password="geheim",
        core=1,
        keygen_pin="12345678",
        log_level=10,
        log_output="/tmp/seSAM_p11.log",
    )


def test_every_key_is_read(tmp_path: Path) -> None:
    content = {
        "url": "https://a:8443/api/v1",
        "urls": ["https://b:8443", "https://a:8443"],
        "user": "alice",
        "pass_file": "secret",
        "core": "test",
        "ca_file": "ca.pem",
        "fingerprint": "SHA256:" + ":".join(["AB"] * 32),
        "client_cert": "/c.pem",
        "client_key": "~/k.pem",
        "credential_file": "credential",
        "timeout_ms": 500,
        "retries": 0,
        "slots": "key",
        "pool": 3,
    }
    found = configurations.read(write(tmp_path / "client.json", content))
    assert found == Configuration(
        urls=("https://a:8443", "https://b:8443"),
        user="alice",
        password_file=tmp_path / "secret",
        core="test",
        ca_file=tmp_path / "ca.pem",
        fingerprint="sha256:" + "ab" * 32,
        client_cert=Path("/c.pem"),
        client_key=Path.home() / "k.pem",
        credential_file=tmp_path / "credential",
        timeout_ms=500,
        retries=0,
        slots="key",
        pool=3,
    )


def test_search_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """$PRIVYSEAL_CONFIG, the user's own, then the system's two."""
    system = (tmp_path / "etc" / "client.json", tmp_path / "etc" / "n200.conf")
    monkeypatch.setattr(configurations, "SYSTEM_FILES", system)
    own = tmp_path / ".config" / "privyseal" / "client.json"
    environment = {"HOME": str(tmp_path)}
    assert configurations.find(environment) is None
    for path in (system[1], system[0], own):
        write(path, "{}")
        assert configurations.find(environment) == path
    assert configurations.find(environment | {"PRIVYSEAL_CONFIG": "/other"}) == Path("/other")
    assert configurations.find({}) == system[0]


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    """Falling back to another file would mean another appliance."""
    with pytest.raises(ConfigurationError, match="no such file"):
        configurations.load(environment={"PRIVYSEAL_CONFIG": str(tmp_path / "missing"), "PRIVYSEAL_URL": "https://a"})


def test_without_any_file_the_environment_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configurations, "SYSTEM_FILES", ())
    environment = {
        "HOME": str(tmp_path),
        "PRIVYSEAL_URL": "https://hsm:8443/",
        "PRIVYSEAL_USER": "bob",
        "PRIVYSEAL_PASSWORD": "p",
        "PRIVYSEAL_CA_FILE": "/ca.pem",
    }
    assert configurations.load(environment=environment) == Configuration(
        urls=("https://hsm:8443",), user="bob", password="p", ca_file=Path("/ca.pem")
    )
    with pytest.raises(ConfigurationError, match="PRIVYSEAL_URL"):
        configurations.load(environment={"HOME": str(tmp_path)})


FILE = Configuration(
    urls=("https://a", "https://b"), user="alice", password="of alice", fingerprint="sha256:" + "0" * 64
)


def test_another_appliance_inherits_no_fingerprint() -> None:
    changed = configurations.override(FILE, {"PRIVYSEAL_URL": "https://c"})
    assert (changed.urls, changed.fingerprint) == (("https://c",), None)
    same = configurations.override(FILE, {"PRIVYSEAL_URL": "https://b/api/v1"})
    assert (same.urls, same.fingerprint) == (("https://b",), FILE.fingerprint)


def test_another_user_inherits_no_password() -> None:
    """The file's password must not be tried as somebody else's."""
    assert configurations.override(FILE, {"PRIVYSEAL_USER": "admin"}).password is None
    assert configurations.override(FILE, {"PRIVYSEAL_USER": "alice"}).password == "of alice"


def test_the_environments_password_wins_over_the_file(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret", "from the file\n")
    by_file = configurations.override(FILE, {"PRIVYSEAL_PASSWORD_FILE": str(secret)})
    assert by_file.read_password() == "from the file"
    both = {"PRIVYSEAL_PASSWORD": "direct", "PRIVYSEAL_PASSWORD_FILE": str(secret)}
    assert configurations.override(FILE, both).read_password() == "direct"
    assert configurations.override(FILE, {"PRIVYSEAL_PASSWORD": ""}).read_password() == "of alice"


def test_a_credential_goes_before_a_password_and_the_environment_before_the_file() -> None:
    """Also a password of the environment before a credential of the file: it was named for this one command."""
    by_environment = {"PRIVYSEAL_CREDENTIAL_FILE": "/token", "PRIVYSEAL_PASSWORD": "p"}
    assert configurations.override(FILE, by_environment).credential_file == Path("/token")
    with_credential = dataclasses.replace(FILE, credential_file=Path("/of-the-file"))
    assert configurations.override(with_credential, {}).credential_file == Path("/of-the-file")
    for other in ({"PRIVYSEAL_PASSWORD": "p"}, {"PRIVYSEAL_PASSWORD_FILE": "/p"}, {"PRIVYSEAL_USER": "another"}):
        assert configurations.override(with_credential, other).credential_file is None


def test_a_ca_file_from_the_environment_replaces_the_fingerprint() -> None:
    changed = configurations.override(FILE, {"PRIVYSEAL_CA_FILE": "/ca.pem"})
    assert (changed.ca_file, changed.fingerprint) == (Path("/ca.pem"), None)


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True), (0o604, True)])
def test_a_file_that_everybody_can_read_is_warned_about(tmp_path: Path, mode: int, *, warned: bool) -> None:
    path = write(tmp_path / "client.json", N200, mode)
    found = configurations.read(path)
    assert [w for w in found.warnings if "every user" in w and str(path) in w] == list(found.warnings)
    assert bool(found.warnings) is warned


def test_an_unknown_key_is_warned_about(tmp_path: Path) -> None:
    """It may be a slip of the pen, or a newer version's."""
    assert configurations.read(write(tmp_path / "c", '{"fingreprint": 1}')).warnings == (
        f"{tmp_path / 'c'}: 'fingreprint' is not a known key",
    )


@pytest.mark.parametrize(
    "entry",
    [
        '"url": "http://hsm"',
        '"url": "hsm:8443"',
        '"url": "https://"',
        '"url": "https://hsm:99999"',
        '"url": "https://hsm/other/path"',
        '"url": "https://hsm?x=1"',
        '"url": "https://user:geheim@hsm"',
        '"url": "https://h sm"',
        '"url": "https://[::1"',
        '"url": ""',
        '"url": 1',
        '"urls": "https://hsm"',
        '"urls": [1]',
        '"core": 0',
        '"core": -1',
        '"core": true',
        '"core": 1.5',
        '"core": ""',
        '"user": null',
        '"pass": ["geheim"]',
        '"pass": "\\ud800"',
        '"timeout_ms": 0',
        '"retries": -1',
        '"pool": 0',
        '"slots": "token"',
        '"fingerprint": "sha256:00"',
        '"fingerprint": "md5:00"',
        '"ca_file": ""',
        '"ca_file": "a\\u0000b"',
    ],
)
def test_a_wrong_value_is_named_by_its_key(entry: str) -> None:
    key = entry.split('"')[1]
    with pytest.raises(ConfigurationError, match=rf"^/c: '{key}' ") as caught:
        configurations.parse(f"{{{entry}}}", Path("/c"))
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("path", ["", "/", "/api/v1", "/api/v1/", "/n200/web/postv1"])
def test_the_known_paths_mean_the_same(path: str) -> None:
    assert configurations.origin(f"https://HSM.example:8443{path}") == "https://hsm.example:8443"


@pytest.mark.parametrize(
    ("url", "expected"),
    [("https://hsm:443", "https://hsm"), ("https://[::1]:8443", "https://[::1]:8443"), ("HTTPS://h", "https://h")],
)
def test_origins_have_one_form(url: str, expected: str) -> None:
    assert configurations.origin(url) == expected
    assert configurations.origin(expected) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from(sorted(configurations._READERS)) | st.text()
URLS = st.text() | st.builds("https://{}".format, st.text()) | st.builds("https://h{}".format, st.text(":/1[]@?# "))


@given(st.dictionaries(KEYS, JSON | URLS))
def test_any_document_is_a_configuration_or_an_error(document: dict[str, object]) -> None:
    """Nothing else is raised; what is accepted has usable values, and no warning or repr shows a secret."""
    try:
        found = configurations.parse(json.dumps(document), Path("/folder/c"))
    except ConfigurationError:
        return
    assert found.timeout_ms > 0
    assert all(url == configurations.origin(url) for url in found.urls)
    assert len(found.warnings) == len(set(document) - set(configurations._READERS))


@given(st.binary())
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("c") / "client.json"
    path.write_bytes(content)
    try:
        configurations.read(path)
    except ConfigurationError as error:
        detail = error.detail
    else:
        detail = str(path)
    assert detail.startswith(str(path))


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="1 MiB"):
        configurations.read(write(tmp_path / "c", " " * (1024 * 1024) + "{}"))


@pytest.mark.parametrize(
    ("content", "secret"), [(b"geheim", "geheim"), (b"geheim\n", "geheim"), (b"a b\r\n", "a b"), (b" \n", " ")]
)
def test_a_secret_is_a_file_without_its_line_end(tmp_path: Path, content: bytes, secret: str) -> None:
    (tmp_path / "s").write_bytes(content)
    assert configurations.read_secret(tmp_path / "s") == secret


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"geheim\n\n", b"gehe\nim", b"gehe\0im", b"geheim\xff", b"geheim" * 20000]
)
def test_what_is_no_secret_is_refused_without_repeating_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s").write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        configurations.read_secret(tmp_path / "s")
    assert "gehe" not in str(caught.value).replace(str(tmp_path), "")
