"""Signs a PDF with pyHanko: pdf.py MODULE TOKEN KEY CERTIFICATE OUT, with the PIN on standard input; then checks it."""

import sys
from io import BytesIO
from pathlib import Path

from pyhanko.config.pkcs11 import TokenCriteria
from pyhanko.keys import load_cert_from_pemder
from pyhanko.pdf_utils.generic import StreamObject
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.writer import PageObject, PdfFileWriter
from pyhanko.sign import signers
from pyhanko.sign.pkcs11 import PKCS11Signer, open_pkcs11_session
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko_certvalidator import ValidationContext

path, label, name, certificate, target = sys.argv[1:]
pin = sys.stdin.read().strip()


def one_page() -> BytesIO:
    """A PDF with one empty page."""
    writer = PdfFileWriter()
    content = writer.add_object(StreamObject(stream_data=b"q Q"))
    writer.insert_page(PageObject(contents=content, media_box=(0, 0, 200, 200)))
    out = BytesIO()
    writer.write(out)
    return out


authority = load_cert_from_pemder(certificate)
with open_pkcs11_session(path, token_criteria=TokenCriteria(label=label), user_pin=pin) as session:
    signer = PKCS11Signer(session, key_label=name, signing_cert=authority)
    settings = signers.PdfSignatureMetadata(field_name="Signature1", md_algorithm="sha256")
    signed = signers.sign_pdf(IncrementalPdfFileWriter(one_page()), settings, signer=signer)
Path(target).write_bytes(signed.getvalue())
(signature,) = PdfFileReader(BytesIO(signed.getvalue())).embedded_signatures
status = validate_pdf_signature(signature, ValidationContext(trust_roots=[authority], allow_fetching=False))
assert status.intact
assert status.valid
