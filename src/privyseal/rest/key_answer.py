"""The answer of whatever ends in a key: that key, as the caller may see it."""

from collections.abc import Awaitable, Callable
from typing import Any

from privyseal.model.keys import Key
from privyseal.operations.perform import Act, Caller
from privyseal.rest.documents import key_document
from privyseal.rest.entrance import Entrance


async def key_answer(enter: Entrance, name: str, work: Callable[[Caller, Act], Awaitable[Key]]) -> dict[str, Any]:
    """Carry out an operation that ends in a key, and write that key; raises what `work` raises."""

    async def carried_out(caller: Caller, act: Act) -> dict[str, Any]:
        def document(key: Key) -> dict[str, Any]:
            return key_document(caller, caller.snapshot.cores[key.core], key)

        enter.describe(act, document)
        return document(await work(caller, act))

    return await enter(name, carried_out)
