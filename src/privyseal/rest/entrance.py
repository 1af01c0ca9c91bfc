"""How a framework route reaches an operation: `entrance(act, work)` authenticates, carries out and records refusals."""

import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, field_validator
from pydantic_core import PydanticCustomError

from privyseal.operations.appliance import Appliance
from privyseal.operations.perform import Act, Caller, perform
from privyseal.rest.hot import credentials_of
from privyseal.rest.repeat import STATE, document_bytes

_HALF = re.compile("[\ud800-\udfff]")
_Result = TypeVar("_Result")
_Document = TypeVar("_Document")
NUMBER_MAX = 2**63 - 1
"""The largest number that a database column holds; a larger one in a request is out of range."""


def etag_of(caller: Caller, revision: int) -> str:
    """Give the ETag (RFC 9110, section 8.8.3) of a list that changes with rules, users, `revision`, and who asks."""
    scope = "" if caller.user.scope is None else f"-{caller.user.scope.credential}"
    return f'"{caller.snapshot.generation}-{revision}-{caller.user.number}{scope}"'


class Body(BaseModel):
    """A request's body; a field that is not listed is an error."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _is_unicode(cls, value: object) -> object:
        """Refuse half a surrogate pair, which JSON can write down and UTF-8 cannot (RFC 8259, section 8.2)."""
        texts = value if isinstance(value, list) else [value]  # what is in an object is looked at there
        if any(_HALF.search(text) for text in texts if isinstance(text, str)):
            raise PydanticCustomError("surrogate", "this is no Unicode text: half of a surrogate pair")
        return value


class Entrance:
    """One request's way in."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.appliance: Appliance = request.app.state.appliance
        self._credentials = credentials_of(request.scope)

    async def __call__(self, operation: str, work: Callable[[Caller, Act], Awaitable[_Result]]) -> _Result:
        """Carry out `work` for the caller; raises what it raises, recorded under the name `operation`."""
        act = Act(operation, repeat=self._request.scope.get(STATE))
        await self.appliance.current()  # a reading route has no record that would refuse a stale answer
        return await perform(self.appliance, self._credentials, act, lambda caller: work(caller, act))

    async def once(
        self,
        operation: str,
        work: Callable[[Caller, Act], Awaitable[_Result]],
        document: Callable[[_Result], _Document],
    ) -> _Document:
        """Carry out `work` as `__call__` does and give the answer's document, kept with the change for a repetition.

        It is kept if `work` makes its change through `manage.change`, or calls `repeat.claim` and `repeat.keep`.
        """

        def kept(caller: Caller, act: Act) -> Awaitable[_Result]:
            self.describe(act, document)
            return work(caller, act)

        return document(await self(operation, kept))

    def describe(self, act: Act, document: Callable[[Any], Any]) -> None:
        """Say how a repeated request's answer is written from what the store keeps of the change."""
        if act.repeat is not None:
            act.repeat.status = self._request.scope["route"].status_code or HTTPStatus.OK
            act.renders(lambda result: document_bytes(document(result)))


Enter = Annotated[Entrance, Depends(Entrance)]
