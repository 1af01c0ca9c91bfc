"""A key's policy in a request's body."""

from typing import Any

from pydantic import AwareDatetime, SecretStr

from privyseal.model.mechanisms import Hash, Mechanism
from privyseal.rest.entrance import Body


class PolicyFields(Body):
    """What a key may be used for; see the policy in docs/reference/rest.md. What is left out stays."""

    operations: tuple[str, ...] = ()
    mechanisms: tuple[Mechanism, ...] = ()
    hashes: list[Hash] | None = None
    not_before: AwareDatetime | None = None
    not_after: AwareDatetime | None = None
    max_uses: int | None = None
    raw_digest: bool = True
    exportable: bool = False
    sign_with_old_versions: bool = False

    def values(self) -> dict[str, Any]:
        """Give the fields that the request has."""
        return {name: getattr(self, name) for name in self.model_fields_set}


def revealed(secret: SecretStr | None) -> str | None:
    """Give the text of a secret, which pydantic shows to nobody by itself."""
    return None if secret is None else secret.get_secret_value()
