"""What the appliance says: its state, the login, the core, the access rule, the PIN, and the protections in force."""

import shlex
from itertools import islice

from privyseal.client import errors
from privyseal.client.appliance import Appliance
from privyseal.client.host.chain import Broken, Patient, Skip
from privyseal.client.host.introduction import ACTIVE, SIGN, signing_key
from privyseal.client.records import Key
from privyseal.client.unlocking import Unlocking

_LOOKED_AT = 1000  # keys of a core, before none is found that may be used


def state(patient: Patient) -> str:
    """The appliance is operational."""
    with Appliance(patient.configuration) as there:
        now: Unlocking = there.unlocking()
    if now.state == "operational":
        return now.state
    if now.state == "unprovisioned":
        raise Broken("the appliance is empty", "privyseal provision", errors.NotProvisionedError("it is empty"))
    shares = f", and has {now.have} of {now.needed} shares" if now.have else ""
    raise Broken(f"the appliance is {now.state}{shares}", "privyseal unlock", errors.ApplianceLockedError(now.state))


def login(patient: Patient) -> str:
    """The user's password, credential or certificate is right."""
    user = patient.configuration.user
    try:
        with Appliance(patient.configuration) as there:
            there.cores()
    except errors.PINLockedError as error:
        raise Broken(error.detail, f"an administrator types: privyseal user unlock {user}", error) from None
    except errors.TooManyAttemptsError as error:
        raise Broken(error.detail, f"sleep {error.retry_after or 1:.0f}; privyseal doctor", error) from None
    except errors.UnauthenticatedError as error:
        given = patient.configuration.credential_file or patient.configuration.password_file or patient.file
        raise Broken(f"{error.detail}: {user or 'the credential'}, {given}", patient.connect_again, error) from None
    return f"as {user}" if user else "with the credential"


def hardening(patient: Patient) -> str:
    """Which protections of the keeper are in force. That some are not breaks nothing."""
    with Appliance(patient.configuration) as there:
        info = there.info()
    on = [name.replace("_", " ") for name, value in info.hardening.items() if value]
    off = [name.replace("_", " ") for name, value in info.hardening.items() if not value]
    parts = [f"{word} {', '.join(listed)}" for word, listed in (("in force:", on), ("not:", off)) if listed]
    return f"{info.product} {info.version}; {'; '.join(parts)}"


def core(patient: Patient) -> str:
    """The core is there."""
    wanted = patient.configuration.core
    with Appliance(patient.configuration) as there:
        try:
            patient.core = there.core(wanted).record()
        except errors.NotFoundError as error:
            seen = ", ".join(str(each.number) for each in there.cores()) or "none"
            mend = f"{patient.connect_again} --core N"
            raise Broken(f"there is no core {wanted}; this user sees {seen}", mend, error) from None
        except errors.AccessRefusedError:
            return f"core {wanted} is there"
    return f"core {patient.core.number}, token {patient.core.token_label}"


def access_rule(patient: Patient) -> str:
    """A rule lets the user sign with the key, or with any."""
    try:
        with Appliance(patient.configuration) as there:
            found = _key(patient, there)
    except (errors.AccessRefusedError, errors.KeyNotFoundError) as error:
        raise Broken(error.detail, _rule(patient), error) from None
    if SIGN not in found.operations:
        refused = errors.AccessRefusedError("no rule for key:sign")
        raise Broken(f"no access rule lets this user sign with key {found.label}", _rule(patient), refused)
    if found.state != ACTIVE:
        mend = f"an administrator types: privyseal key enable {shlex.quote(found.label)} --core {found.core}"
        raise Broken(f"key {found.label} is {found.state}", mend, errors.AccessRefusedError(found.state))
    patient.key = found
    return f"may sign with key {found.label}, {found.type}"


def pin(patient: Patient) -> str:
    """The PIN opens the key's core."""
    key = _found(patient.key)
    if not key.pin:
        return f"key {key.label} has none"
    if patient.pin is None:
        raise Skip(f"key {key.label} has one: give --pin-file FILE to try it and to sign")
    again = f"privyseal doctor --key {shlex.quote(key.label)} --pin-file FILE"
    try:
        with Appliance(patient.configuration) as there, there.core(key.core).login(patient.pin) as opened:
            return f"opens {opened.ticket.keys} keys of core {key.core}"
    except errors.PINLockedError as error:
        who = f"privyseal user unlock {patient.configuration.user}"
        raise Broken(error.detail, f"an administrator types: {who}", error) from None
    except errors.PINIncorrectError as error:
        left = f"; {error.attempts_left} attempts are left" if error.attempts_left is not None else ""
        raise Broken(f"{error.detail}{left}", again, error) from None
    except errors.InvalidBodyError as error:  # shorter or longer than a PIN can be
        raise Broken(error.detail, again, errors.PINIncorrectError(error.detail)) from None


def _key(patient: Patient, there: Appliance) -> Key:
    """The key that was named, else one that the user may sign with."""
    core = there.core(patient.configuration.core)
    if patient.label is not None:
        return core.key(patient.label).record()
    found = signing_key(islice(core.keys(), _LOOKED_AT))
    if found:
        return found
    raise errors.AccessRefusedError(f"user {patient.configuration.user} may sign with no key in this core")


def _rule(patient: Patient) -> str:
    user, keys = patient.configuration.user or "NAME", shlex.quote(patient.label or "*")
    core = shlex.quote(str(patient.configuration.core))
    rule = f"privyseal rule create --user {user} --core {core} --operations key:sign --keys {keys}"
    return f"an administrator types: {rule}"


def _found(key: Key | None) -> Key:
    assert key is not None  # noqa: S101  the link before found it, or this one is not looked at
    return key
