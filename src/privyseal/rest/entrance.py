"""How a framework route reaches an operation: `entrance(act, work)` authenticates, carries out and records refusals."""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, field_validator
from pydantic_core import PydanticCustomError

from privyseal.operations.appliance import Appliance
from privyseal.operations.perform import Act, Caller, perform
from privyseal.rest.hot import credentials_of

_Result = TypeVar("_Result")
NUMBER_MAX = 2**63 - 1
"""The largest number that a database column holds; a larger one in a request is out of range."""


class Body(BaseModel):
    """A request's body; a field that is not listed is an error."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _is_unicode(cls, value: object) -> object:
        """Refuse half a surrogate pair, which JSON can write down and UTF-8 cannot (RFC 8259, section 8.2)."""
        if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
            raise PydanticCustomError("surrogate", "this is no Unicode text: half of a surrogate pair")
        return value


class Entrance:
    """One request's way in."""

    def __init__(self, request: Request) -> None:
        self.appliance: Appliance = request.app.state.appliance
        self._credentials = credentials_of(request.scope)

    async def __call__(self, operation: str, work: Callable[[Caller, Act], Awaitable[_Result]]) -> _Result:
        """Carry out `work` for the caller; raises what it raises, recorded under the name `operation`."""
        act = Act(operation)
        await self.appliance.current()  # a reading route has no record that would refuse a stale answer
        return await perform(self.appliance, self._credentials, act, lambda caller: work(caller, act))


Enter = Annotated[Entrance, Depends(Entrance)]
