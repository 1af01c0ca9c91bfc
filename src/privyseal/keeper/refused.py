"""How anything in the keeper says no."""

from privyseal.wire.frames import Refused


class RefusedError(Exception):
    """The request is refused; the answer says why."""

    def __init__(self, code: str, detail: str, index: int | None = None) -> None:
        super().__init__(detail)
        self.answer = Refused(code, detail, index)
