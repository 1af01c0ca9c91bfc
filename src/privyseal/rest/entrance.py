"""How a framework route reaches an operation: `entrance(act, work)` authenticates, carries out and records refusals."""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict

from privyseal.operations.appliance import Appliance
from privyseal.operations.perform import Act, Caller, perform
from privyseal.rest.hot import credentials_of

_Result = TypeVar("_Result")


class Body(BaseModel):
    """A request's body; a field that is not listed is an error."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


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
