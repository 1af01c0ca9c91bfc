"""`privyseal tls`: the certificate that the appliance shows to everybody who connects."""

import click

from privyseal.cli import inputs, output
from privyseal.cli.commands import Group
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session
from privyseal.client.records import ServerCertificate


@click.group(cls=Group)
def command() -> None:
    """Show and replace the TLS certificate. Connections that are open go on while it changes."""


@command.command("show", examples=["privyseal tls show"])
@pass_session
def show(session: Session) -> None:
    """Show the certificate in force."""
    with appliance(session) as there:
        _show(session, there.tls())


@command.command("replace", examples=["privyseal tls replace --certificate hsm.pem --private-key hsm.key"])
@click.option("--certificate", required=True, metavar="FILE", help="PEM: the server's, then those above it.")
@click.option("--private-key", required=True, metavar="FILE", help="Its private key in PEM, not encrypted.")
@pass_session
def replace(session: Session, certificate: str, private_key: str) -> None:
    """Serve a certificate of an authority of your own. It is checked before anything changes.

    Every host has to trust that authority before: what it trusts stands in its ca_file.
    """
    chain, key = inputs.text(certificate), inputs.text(private_key)
    with appliance(session) as there:
        _show(session, there.replace_tls(certificate=chain, private_key=key))


@command.command("renew", examples=["privyseal tls renew"])
@pass_session
def renew(session: Session) -> None:
    """Serve a new certificate of the appliance's own authority, in place of whatever is in force."""
    with appliance(session) as there:
        _show(session, there.renew_tls())


def _show(session: Session, found: ServerCertificate) -> None:
    if output.document(session, found.document):
        return
    output.record(
        {
            "subject": found.subject,
            "names": found.names,
            "valid from": found.not_before,
            "valid until": found.not_after,
            "fingerprint": found.fingerprint,
            "issued here": found.own,
            "authority": found.authority,
            "its fingerprint": found.authority_fingerprint,
        }
    )
