"""What the options before the command say: which appliance, as whom, and how to answer.

Words only; `reach.py` makes something of them. Nothing heavy is imported here, so that `privyseal --help` is quick.
"""

from dataclasses import dataclass

import click


@dataclass
class Session:
    """The options before the command, or after it for `as_json` and `quiet`.

    Attributes:
        data: folder of an appliance on this host, whose `endpoint.json` says where it is.
        as_json: answer with the REST document.
        quiet: say nothing but answers and errors.
    """

    url: str | None = None
    user: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    config: str | None = None
    data: str | None = None
    as_json: bool = False
    quiet: bool = False


pass_session = click.make_pass_decorator(Session)
