"""The Python SDK: keys on a Privyseal appliance, used from another host. Start at `Appliance`."""

from privyseal.client.appliance import Appliance
from privyseal.client.configuration import Configuration, load
from privyseal.client.cores import CoreClient, KeyClient, Login
from privyseal.client.errors import ClientError, InvalidSignatureError
from privyseal.client.files import hash_file, hash_stream
from privyseal.client.records import Core, Event, Explanation, Info, Key, Rule, Signature, SignatureBatch, Ticket, User

__all__ = [
    "Appliance",
    "ClientError",
    "Configuration",
    "Core",
    "CoreClient",
    "Event",
    "Explanation",
    "Info",
    "InvalidSignatureError",
    "Key",
    "KeyClient",
    "Login",
    "Rule",
    "Signature",
    "SignatureBatch",
    "Ticket",
    "User",
    "hash_file",
    "hash_stream",
    "load",
]
