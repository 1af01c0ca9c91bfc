"""OpenSC's pkcs11-tool: what it lists, reads, signs and tests, on our token and on SoftHSM2's."""

import hashlib
import re

import pytest

from support.interop_table import not_yet
from support.tokens import Token

pytestmark = pytest.mark.program("OpenSC pkcs11-tool", "opensc")
RSA_HASHED = ["SHA224-RSA-PKCS", "SHA256-RSA-PKCS", "SHA384-RSA-PKCS", "SHA512-RSA-PKCS"]
EC_HASHED = ["ECDSA-SHA224", "ECDSA-SHA256", "ECDSA-SHA384", "ECDSA-SHA512"]


def sign(token: Token, key: str, mechanism: str, *options: str, signed: str = "mydata") -> str:
    """--sign; the name of the file with the signature."""
    chosen = ["--sign", "--mechanism", mechanism, "--id", token.ids[key], "-i", signed, "-o", "tool.sig"]
    token.logged_in(*chosen, *options)
    return "tool.sig"


def objects(token: Token, label: str, *, login: bool = True) -> list[str]:
    """Which halves of a key pair -O shows: `Private`, `Public`."""
    shown = token.logged_in("-O") if login else token.tool("-O")
    keys = [block for block in re.split(r"^(?=\S)", shown, flags=re.MULTILINE) if " Key Object" in block]
    return sorted(block.split()[0] for block in keys if re.search(rf"^ +label: +{label}$", block, re.MULTILINE))


@pytest.mark.parametrize("option", ["-I", "-L", "-T", "-M", "-O"])
def test_lists(token: Token, option: str) -> None:
    """Shows information, slots, token slots, mechanisms, objects."""
    assert token.tool(option)


def test_lists_after_login(token: Token) -> None:
    """--login -O shows both halves of both keys."""
    assert [objects(token, key) for key in token.ids] == [["Private", "Public"]] * 2


def test_shows_private_keys_before_login(token: Token) -> None:
    """-O without a login shows the private keys, as the original appliance does."""
    assert [objects(token, key, login=False) for key in token.ids] == [["Private", "Public"]] * 2


def test_reads_a_public_key(token: Token, key: str) -> None:
    """--read-object --type pubkey."""
    assert token.public_key(key).read_text().startswith("-----BEGIN PUBLIC KEY")


@pytest.mark.parametrize("mechanism", RSA_HASHED)
def test_signs_with_rsa(token: Token, mechanism: str) -> None:
    """--sign with RSA and a hash."""
    name = mechanism.partition("-")[0].lower()
    verify = ["-verify", token.public_key("rsa"), "-signature", sign(token, "rsa", mechanism)]
    assert "Verified OK" in token.plain_openssl("dgst", f"-{name}", *verify, "mydata")


@pytest.mark.parametrize("mechanism", EC_HASHED)
def test_signs_with_ec(token: Token, mechanism: str) -> None:
    """--sign with ECDSA and a hash."""
    name = mechanism.partition("-")[2].lower()
    signature = sign(token, "ec", mechanism, "--signature-format", "openssl")
    verify = ["-verify", token.public_key("ec"), "-signature", signature]
    assert "Verified OK" in token.plain_openssl("dgst", f"-{name}", *verify, "mydata")


def test_signs_a_digest(token: Token) -> None:
    """--sign with ECDSA over a digest."""
    (token.directory / "digest").write_bytes(hashlib.sha256((token.directory / "mydata").read_bytes()).digest())
    sign(token, "ec", "ECDSA", "--signature-format", "openssl", signed="digest")
    token.assert_verifies("ec", "tool.sig")


def test_signs_with_pss(token: Token) -> None:
    """--sign with SHA256-RSA-PKCS-PSS."""
    sign(token, "rsa", "SHA256-RSA-PKCS-PSS", "--mgf", "MGF1-SHA256")
    token.assert_verifies("rsa", "tool.sig", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32")


@pytest.mark.parametrize("mechanism", ["SHA256-RSA-PKCS", "SHA512-RSA-PKCS"])
def test_verifies(token: Token, mechanism: str) -> None:
    """--verify accepts a signature and refuses it over other data."""
    sign(token, "rsa", mechanism)
    check = ["--verify", "--mechanism", mechanism, "--id", token.ids["rsa"], "--signature-file", "tool.sig", "-i"]
    assert "Signature is valid" in token.logged_in(*check, "mydata")
    assert "Invalid signature" in token.logged_in(*check, "other", status=None)


@pytest.mark.parametrize("name", ["SHA256", "SHA512", "SHA-1"])
def test_hashes(token: Token, name: str) -> None:
    """--hash."""
    token.tool("--hash", "-m", name, "-i", "mydata", "-o", "tool.hash")
    data = (token.directory / "mydata").read_bytes()
    assert (token.directory / "tool.hash").read_bytes() == hashlib.new(name.replace("-", ""), data).digest()


def test_random(token: Token) -> None:
    """--generate-random."""
    token.tool("--generate-random", "64", "-o", "tool.random")
    assert len((token.directory / "tool.random").read_bytes()) == 64


def test_refuses_a_wrong_pin(token: Token) -> None:
    """--login with a wrong PIN: an error, and no crash."""
    assert "CKR_PIN_INCORRECT" in token.tool("--login", "--pin", "87654321", "-O", status=1)


def test_suite(token: Token) -> None:
    """--test --allow-sw: its own tests."""
    shown = token.logged_in("--test", "--allow-sw")
    assert "No errors" in shown, shown


def test_fork(token: Token) -> None:
    """--test-fork."""
    token.logged_in("--test-fork")


@pytest.mark.interop
def test_threads(token: Token) -> None:
    """--test-threads: threads that race in C_Initialize."""
    token.run("pkcs11-tool", "--module", token.module, "--test-threads", "IN", "--test-threads", "INFFIN")


@pytest.mark.parametrize("kind", ["EC:prime256v1", "rsa:2048"])
def test_makes_a_key_pair(token: Token, kind: str) -> None:
    """--keypairgen, and --delete-object until both halves are gone."""
    label = f"made-{kind.partition(':')[0]}"
    token.logged_in("--keypairgen", "--key-type", kind, "--id", "7f01", "--label", label)
    assert objects(token, label) == ["Private", "Public"]
    for half in ("privkey", "pubkey"):
        token.logged_in("--delete-object", "--type", half, "--id", "7f01", status=None)  # ours go together
    assert objects(token, label) == []


@not_yet("the appliance's secret keys are not shown by the module")
def test_makes_a_secret_key(token: Token) -> None:
    """--keygen AES."""
    token.logged_in("--keygen", "--key-type", "AES:32", "--id", "7f02", "--label", "secret")
    token.logged_in("--delete-object", "--type", "secrkey", "--id", "7f02")


@not_yet("the appliance's certificates and data are not shown by the module")
@pytest.mark.parametrize("kind", ["cert", "data"])
def test_writes_an_object(token: Token, kind: str) -> None:
    """--write-object and --delete-object."""
    der = token.directory / "written.der"
    token.plain_openssl("x509", "-in", token.certificate("ec"), "-outform", "DER", "-out", der)
    token.logged_in("--write-object", der, "--type", kind, "--id", "7f03", "--label", "written")
    choice = ["--id", "7f03"] if kind == "cert" else ["--label", "written"]
    token.logged_in("--delete-object", "--type", kind, *choice)


@not_yet("it signs with SHA-1, which the appliance does not")
def test_ec_suite(token: Token) -> None:
    """--test-ec: makes, uses and renames a key."""
    chosen = ["--test-ec", "--key-type", "EC:prime256v1", "--id", "7f04", "--label", "test-ec"]
    try:
        token.logged_in("--session-rw", *chosen)
    finally:  # it leaves its key where it stops
        token.logged_in("--delete-object", "--type", "privkey", "--label", "test-ec", status=None)


def test_decrypts(token: Token) -> None:
    """--decrypt with RSA-PKCS."""
    encrypt = ["-encrypt", "-pubin", "-inkey", token.public_key("rsa"), "-in", "mydata", "-out", "mydata.enc"]
    token.plain_openssl("pkeyutl", *encrypt)
    chosen = ["--mechanism", "RSA-PKCS", "--id", token.ids["rsa"], "-i", "mydata.enc", "-o", "mydata.dec"]
    token.logged_in("--decrypt", *chosen)
    assert (token.directory / "mydata.dec").read_bytes() == (token.directory / "mydata").read_bytes()


def test_derives(token: Token) -> None:
    """--derive with ECDH1-DERIVE: the secret that the other side finds with its own key and our public one."""
    token.plain_openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "peer.pem")
    token.plain_openssl("pkey", "-in", "peer.pem", "-pubout", "-outform", "DER", "-out", "peer.der")
    chosen = ["-m", "ECDH1-DERIVE", "--id", token.ids["ec"], "-i", "peer.der", "-o", "shared"]
    token.logged_in("--derive", *chosen)
    theirs = ["-inkey", "peer.pem", "-peerkey", token.public_key("ec"), "-out", "shared.peer"]
    token.plain_openssl("pkeyutl", "-derive", *theirs)
    assert (token.directory / "shared").read_bytes() == (token.directory / "shared.peer").read_bytes()


@not_yet("a PIN is a key's, set when the key is made")
def test_changes_the_pin(token: Token) -> None:
    """--change-pin, there and back."""
    token.logged_in("--change-pin", "--new-pin", "another-pin")
    token.tool("--login", "--pin", "another-pin", "--change-pin", "--new-pin", "12345678")
