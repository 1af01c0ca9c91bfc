"""A key in print, as several commands end with one."""

from privyseal.cli import output, policies
from privyseal.cli.session import Session
from privyseal.client.records import Key


def show_key(session: Session, key: Key) -> None:
    """Print a key."""
    if output.document(session, key.document):
        return
    output.record(
        {
            "key": key.label,
            "id": key.id,
            "core": key.core,
            "type": key.type,
            "PIN": key.pin,
            "mechanisms": key.mechanisms,
            "you may": key.operations,
            **({"tags": key.tags} if key.tags else {}),
            "created": key.created,
            "URI": key.uri,
            "state": key.state if key.destroy_at is None else f"to be destroyed on {output.text(key.destroy_at)}",
            "version": key.version,
            "origin": key.origin,
            **policies.words(key.policy, key.document.get("uses")),
        }
    )
