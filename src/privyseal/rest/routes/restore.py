"""`POST /restore`: a backup comes as the body, however long it is, and its secret in a header."""

import asyncio
import base64
import binascii
import tempfile
from typing import Any, BinaryIO

from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect

from privyseal.errors import FieldError, InvalidBackupError, InvalidRequestError, UnavailableError
from privyseal.model.access import Operation
from privyseal.operations.manage import require_role
from privyseal.operations.merge import Merged, merge_backup
from privyseal.operations.perform import Act, Caller
from privyseal.rest.documents import merged_document
from privyseal.rest.entrance import Enter
from privyseal.rest.limits import UPLOAD
from privyseal.rest.routes.backup import MEDIA_TYPE

router = APIRouter(tags=["backup"])
_HEADER = "Backup-Secret"
_BODY = {"required": True, "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}}
_SECRET = {
    "name": _HEADER,
    "in": "header",
    "required": True,
    "description": "The backup passphrase, or an X25519 private key in PEM; in base64.",
    "schema": {"type": "string", "contentEncoding": "base64"},
}


@router.post("/restore", openapi_extra={"requestBody": _BODY, "parameters": [_SECRET]})
async def merge(request: Request, enter: Enter, *, dry_run: bool = False) -> dict[str, Any]:
    """Put back what a backup of this appliance has and it has not; with `dry_run` say what that would be."""
    with tempfile.TemporaryFile() as file:
        spool = Spool(request, file)

        async def work(caller: Caller, act: Act) -> Merged:
            require_role(caller, Operation.APPLIANCE_MANAGE)
            secret = _secret(request)
            return await merge_backup(enter.appliance, caller, act, await spool.file(), secret, dry_run=dry_run)

        return merged_document(await enter("appliance:merge", work))


class Spool:
    """The body in a file without a name, of any length, taken once the caller is known; a second try finds it there."""

    def __init__(self, request: Request, file: BinaryIO) -> None:
        self._request = request
        self._file = file
        self._taken = False

    async def file(self) -> BinaryIO:
        """Give the file with the whole body in it."""
        if not self._taken:
            self._taken = True
            await self._take()
        return self._file

    async def _take(self) -> None:
        state = self._request.scope["state"]
        state[UPLOAD] = True
        try:
            async for piece in self._request.stream():
                await asyncio.to_thread(self._file.write, piece)
        except ClientDisconnect as error:
            raise InvalidBackupError("the connection was cut before the end of the file") from error
        except OSError as error:
            raise UnavailableError(f"there is no room for the file: {error.strerror}") from error
        finally:
            del state[UPLOAD]


def _secret(request: Request) -> str:
    try:
        return base64.b64decode(request.headers[_HEADER], validate=True).decode()
    except KeyError as error:
        raise InvalidRequestError(FieldError(f"header.{_HEADER}", "this header is missing")) from error
    except (binascii.Error, ValueError) as error:
        message = "this is not text in base64 (RFC 4648, section 4)"
        raise InvalidRequestError(FieldError(f"header.{_HEADER}", message)) from error
