"""What becomes of the appliance's own certificate when its authority is not the one that it made."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from privyseal.errors import ConfigurationError
from privyseal.tls import TLSFiles


def test_an_authority_of_another_kind_is_told(tmp_path: Path) -> None:
    """Whoever puts an RSA key there reads what to do; what is served stays."""
    files = TLSFiles(tmp_path / "tls")
    files.prepare(["127.0.0.1"])
    served = files.certificate.read_bytes()
    key = rsa.generate_private_key(65537, 2048)
    kind, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    files.ca_key.write_bytes(key.private_bytes(kind, form, serialization.NoEncryption()))
    with pytest.raises(ConfigurationError, match="TLS authority cannot be read"):
        files.renew()
    assert files.certificate.read_bytes() == served
