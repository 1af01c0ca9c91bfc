"""What nobody foresaw becomes a plain problem document, on hot routes and on the framework's."""

import asyncio
from typing import Any

import httpx2
import pytest

from privyseal.rest import api


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
