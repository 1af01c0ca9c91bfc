"""The first link: the client configuration."""

from privyseal.client import configuration as configurations
from privyseal.client.errors import ConfigurationError
from privyseal.client.host.chain import Broken, Patient
from privyseal.client.host.places import beside


def configuration(patient: Patient) -> str:
    """A file is there, can be read, names an appliance and a user, and the secret that it refers to can be read."""
    path = patient.named or configurations.find(patient.environment)
    if path is None:
        looked = ", ".join(map(str, configurations.search_path(patient.environment)))
        raise Broken(f"none of {looked} is there", patient.connect_again)
    patient.file, patient.places = path, beside(path)
    try:
        patient.configuration = configurations.read(path)
        _complete(patient)
    except ConfigurationError as error:
        raise Broken(error.detail, patient.connect_again, error) from None
    return "; ".join([str(path), *patient.configuration.warnings, *_unheard(patient)])


def _complete(patient: Patient) -> None:
    found = patient.configuration
    if not found.urls:
        raise ConfigurationError(f"{patient.file}: names no appliance: there is no url")
    if found.credential_file:
        configurations.read_secret(found.credential_file)
    elif not found.client_cert and (found.user is None or found.read_password() is None):
        raise ConfigurationError(f"{patient.file}: names no user, or no password of that user")


def _unheard(patient: Patient) -> list[str]:
    """Variables that only our own programs hear: what the module does may then differ from what they do."""
    names = ("PRIVYSEAL_URL", "PRIVYSEAL_USER", "PRIVYSEAL_PASSWORD", "PRIVYSEAL_PASSWORD_FILE", "PRIVYSEAL_CA_FILE")
    given = [name for name in names if patient.environment.get(name)]
    return [f"the module does not hear {' and '.join(given)}"] if given else []
