"""PKCS #11 URIs (RFC 7512), as p11-kit writes them: the same attributes in the same order."""

from urllib.parse import quote

from privyseal.model.cores import Core
from privyseal.model.keys import Key

_UNRESERVED = ""  # everything else that may stand in a URI as it is, `quote` knows


def key_uri(core: Core, key: Key) -> str:
    """Give the shortest URI that names one key on every host: serial, token, id and label."""
    identifier = "".join(f"%{byte:02X}" for byte in bytes.fromhex(key.object_id))
    return (
        f"pkcs11:serial={core.serial};token={quote(core.token_label, safe=_UNRESERVED)};"
        f"id={identifier};object={quote(key.label, safe=_UNRESERVED)}"
    )
