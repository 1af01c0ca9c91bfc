"""Keys under other keys of the appliance: wrap and unwrap."""

import base64
from collections.abc import Awaitable
from typing import Any

from fastapi import APIRouter
from pydantic import SecretStr

from privyseal.model.keys import Key, KeyType
from privyseal.model.mechanisms import Hash, Mechanism
from privyseal.operations.perform import Act, Caller
from privyseal.operations.unwrap_key import NewKey, unwrap_key
from privyseal.operations.wrap_key import Wrapped, wrap_key
from privyseal.rest.entrance import Enter
from privyseal.rest.key_answer import key_answer
from privyseal.rest.policy import PolicyFields, revealed
from privyseal.rest.routes.key_life import Base64, Using

router = APIRouter(prefix="/cores/{core}/keys/{key}", tags=["keys"])


class _Wrapping(Using):
    mechanism: Mechanism | None = None
    hash: Hash | None = None
    mgf_hash: Hash | None = None
    oaep_label: Base64 | None = None

    def given(self) -> dict[str, Any]:
        """Give the mechanism's parameters that the request names."""
        named = {"hash": self.hash, "mgf_hash": self.mgf_hash, "label": self.oaep_label}
        return {name: value for name, value in named.items() if value is not None}


class WrapRequest(_Wrapping):
    """`POST …/wrap`."""

    key: str


class UnwrapRequest(_Wrapping):
    """`POST …/unwrap`."""

    wrapped: Base64
    label: str
    type: KeyType
    new_pin: SecretStr | None = None
    policy: PolicyFields | None = None
    exportable: bool = False
    tags: tuple[str, ...] = ()
    object_id: str | None = None

    def new(self) -> NewKey:
        """Give what the key shall be."""
        policy = {} if self.policy is None else self.policy.values()
        policy |= {"exportable": True} if self.exportable else {}
        return NewKey(self.label, self.type, revealed(self.new_pin), policy, self.tags, self.object_id)


@router.post("/wrap")
async def wrap(core: str, key: str, body: WrapRequest, enter: Enter) -> dict[str, Any]:
    """Wrap a key that was made exportable."""
    place, secret = (core, key), body.secret()

    def document(done: Wrapped) -> dict[str, Any]:
        return {"wrapped": base64.b64encode(done.wrapped).decode(), "event": done.event}

    return await enter.once(
        "key:wrap",
        lambda caller, act: wrap_key(
            enter.appliance, caller, act, place, body.key, body.mechanism, body.given(), secret
        ),
        document,
    )


@router.post("/unwrap", status_code=201)
async def unwrap(core: str, key: str, body: UnwrapRequest, enter: Enter) -> dict[str, Any]:
    """Unwrap a key, which is kept from then on."""
    place, secret = (core, key), body.secret()

    def work(caller: Caller, act: Act) -> Awaitable[Key]:
        return unwrap_key(
            enter.appliance, caller, act, place, body.wrapped, body.mechanism, body.given(), secret, new=body.new()
        )

    return await key_answer(enter, "key:unwrap", work)
