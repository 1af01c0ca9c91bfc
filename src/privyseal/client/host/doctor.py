"""The chain from this host to a verified signature, in the order in which a signature needs its links."""

from collections.abc import Iterator, Sequence

from privyseal.client.host.chain import Check, Link, Patient, walk
from privyseal.client.host.links import appliance, module, network, openssl, settings

LINKS: Sequence[tuple[str, Check]] = (
    ("configuration", settings.configuration),
    ("name", network.name),
    ("TCP", network.tcp),
    ("TLS", network.tls),
    ("clock", network.clock),
    ("certificate", network.certificate),
    ("certificate's names", network.names),
    ("certificate's time", network.validity),
    ("state", appliance.state),
    ("login", appliance.login),
    ("hardening", appliance.hardening),
    ("core", appliance.core),
    ("access rule", appliance.access_rule),
    ("PIN", appliance.pin),
    ("module file", module.file),
    ("module's processor", module.architecture),
    ("module loads", module.loads),
    ("token", module.token),
    ("key", module.key),
    ("OpenSSL", openssl.engine_or_provider),
    ("openssl.cnf", openssl.configuration),
    ("p11-kit", openssl.p11_kit),
    ("signature", openssl.signature),
    ("verification", openssl.verification),
)


def examine(patient: Patient) -> Iterator[Link]:
    """Walk the chain; every link is there once, looked at or not."""
    return walk(LINKS, patient)
