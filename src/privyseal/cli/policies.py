"""The options that say what a key may be used for: a JSON file, single words, or both, the words winning."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import click

_Function: TypeAlias = Callable[..., Any]
_NONE = "none"


class _Time(click.ParamType[str]):
    """A date or a time; without an offset it is UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value == _NONE:
            return _NONE
        try:
            time = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no time such as 2027-01-31 or 2027-01-31T12:00:00Z", param, ctx)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).isoformat()


class _Uses(click.ParamType[str]):
    """A number, or none."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value != _NONE and not str(value).isdecimal():
            self.fail(f"{value!r} is neither a number nor none", param, ctx)
        return str(value)


_OPTIONS = (
    click.option("--policy", "policy_file", metavar="FILE", help="The policy as JSON; the options below win over it."),
    click.option("--mechanisms", metavar="NAMES", help="Mechanisms that it may use, as in RSA-PSS,RSA-OAEP."),
    click.option("--hashes", metavar="NAMES", help="Hashes that may go before a signature, by commas, or none: all."),
    click.option("--not-before", metavar="TIME", type=_Time(), help="It is not used before; none takes that back."),
    click.option("--not-after", metavar="TIME", type=_Time(), help="It is not used after; none takes that back."),
    click.option("--max-uses", metavar="N", type=_Uses(), help="How often one version may be used, or none: no limit."),
    click.option(
        "--raw-digest/--no-raw-digest",
        default=None,
        help="Whether it signs digests that others computed; else the data travels and the appliance hashes it.",
    ),
    click.option("--sign-with-old-versions/--sign-with-current-version", default=None, help="After a rotation."),
)


def options(function: _Function) -> _Function:
    """Give a command the options of a policy; it gets them as keyword arguments for `wanted`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def wanted(
    *,
    policy_file: str | None,
    mechanisms: str | None,
    hashes: str | None,
    not_before: str | None,
    not_after: str | None,
    max_uses: str | None,
    raw_digest: bool | None,
    sign_with_old_versions: bool | None,
    exportable: bool | None = None,
) -> dict[str, Any] | None:
    """Give the policy that the options ask for, as the REST interface takes it; None when they ask for nothing.

    Raises:
        UsageError: the file holds no JSON object.
        OSError: it cannot be read.
    """
    policy = _read(policy_file) if policy_file else {}
    given: dict[str, Any] = {
        "mechanisms": mechanisms and mechanisms.split(","),
        "hashes": hashes and (_NONE if hashes == _NONE else hashes.split(",")),
        "not_before": not_before,
        "not_after": not_after,
        "max_uses": int(max_uses) if max_uses and max_uses != _NONE else max_uses,
        "raw_digest": raw_digest,
        "sign_with_old_versions": sign_with_old_versions,
        "exportable": exportable,
    }
    policy |= {name: None if value == _NONE else value for name, value in given.items() if value is not None}
    return policy or None


def words(policy: Mapping[str, Any], uses: int | None = None) -> dict[str, object]:
    """Give what a policy restricts beside mechanisms, for people; `uses` is how many of the limit are used up."""
    shown = {
        "hashes": policy.get("hashes"),
        "not before": policy.get("not_before"),
        "not after": policy.get("not_after"),
        "uses at most": policy.get("max_uses"),
        "uses so far": uses,
        "signs": "only data that it hashes itself" if policy.get("raw_digest") is False else None,
        "exportable": policy.get("exportable") or None,
        "old versions": "may sign" if policy.get("sign_with_old_versions") else None,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _read(file: str) -> dict[str, Any]:
    try:
        policy = json.loads(Path(file).read_bytes())
    except ValueError:
        policy = None
    if not isinstance(policy, dict):
        raise click.UsageError(f"{file} does not hold a policy as a JSON object")
    return {name: value for name, value in policy.items() if name != "pin"}  # as `key show --json` prints it
