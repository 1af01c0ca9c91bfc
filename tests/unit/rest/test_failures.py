"""What nobody foresaw becomes a plain problem document, on hot routes and on the framework's."""

import asyncio
from typing import Any

import httpx2
import pytest

from privyseal.errors import UnavailableError
from privyseal.operations.repeat import Repeat
from privyseal.rest import api
from privyseal.rest.repeat import Sent


@pytest.mark.parametrize(("method", "path"), [("GET", "/cores"), ("POST", "/cores/1/login"), ("GET", "/info")])
def test_a_failure_inside_is_told_without_detail(method: str, path: str, caplog: pytest.LogCaptureFixture) -> None:
    """An application without an appliance fails with AttributeError: 500, no word of it, and a line in the log."""
    nothing: Any = None

    async def ask() -> httpx2.Response:
        transport = httpx2.ASGITransport(api.build(nothing))
        async with httpx2.AsyncClient(transport=transport, base_url="https://appliance") as client:
            return await client.request(method, f"/api/v1{path}", json={"pin": "12345678"}, auth=("alice", "secret"))

    answer = asyncio.run(ask())
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "urn:privyseal:problem:internal",
        "title": "Something went wrong inside the appliance",
        "status": 500,
        "instance": f"urn:privyseal:request:{answer.headers['x-request-id']}",
    }
    assert "unexpected AttributeError" in caplog.text
    assert "12345678" not in caplog.text


def test_an_answer_that_cannot_be_kept_is_still_given(caplog: pytest.LogCaptureFixture) -> None:
    """What was done is done: with an error instead the client would ask again, and it would be done again."""

    class Gone:
        store: Any

        def write(self) -> None:
            raise UnavailableError("the database is gone")

    async def nowhere(_: object) -> None:
        pass

    gone = Gone()
    gone.store = gone
    there: Any = gone
    sent = Sent(nowhere)
    sent.messages = [{"type": "http.response.start", "status": 201}, {"type": "http.response.body", "body": b"{}"}]
    repeat = Repeat(b"a-random-text-of-a-test", "content", look_first=True, id="id")
    asyncio.run(api._Front(api.framework(), there)._keep(repeat, sent))
    assert "an answer was not kept" in caplog.text
