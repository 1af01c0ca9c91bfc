"""Signs with python-pkcs11 from threads: sign.py MODULE TOKEN KEY ec|rsa FILE OUT, with the PIN on standard input.

The library passes NULL to C_Initialize, which promises a single thread, and is then used from many.
"""

import sys
import threading
from pathlib import Path

import pkcs11
from pkcs11 import Mechanism, ObjectClass
from pkcs11.util.ec import encode_ecdsa_signature

path, label, name, kind, source, target = sys.argv[1:]
pin = sys.stdin.read().strip()
data = Path(source).read_bytes()
mechanism = Mechanism.ECDSA_SHA256 if kind == "ec" else Mechanism.SHA256_RSA_PKCS
token = pkcs11.lib(path).get_token(token_label=label)
made: list[bytes] = []


def work() -> None:
    """Sign and verify a few times, in a session of one's own."""
    with token.open() as session:
        private = session.get_key(object_class=ObjectClass.PRIVATE_KEY, label=name)
        public = session.get_key(object_class=ObjectClass.PUBLIC_KEY, label=name)
        for _ in range(10):
            signature = private.sign(data, mechanism=mechanism)
            assert public.verify(data, signature, mechanism=mechanism)
            made.append(signature)


with token.open(user_pin=pin):
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
assert len(made) == 80, len(made)
Path(target).write_bytes(encode_ecdsa_signature(made[-1]) if kind == "ec" else made[-1])
