"""Why somebody may or may not: by the very functions that decide when it is tried, and what else has to be true.

A rule lets somebody do something; a key may still refuse, because of its state, its policy, its PIN or a quorum.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from privyseal.access.decide import by_role, decide, refusal
from privyseal.errors import AccessRefusedError, FieldError, InvalidRequestError, NotFoundError, UnauthenticatedError
from privyseal.model.access import RULE_OPERATIONS, Decision, Operation, Role, User
from privyseal.model.approvals import KEY_OPERATIONS
from privyseal.model.cores import Core
from privyseal.model.keys import Use
from privyseal.operations.appliance import Appliance, KnownKey
from privyseal.operations.bearer import standing
from privyseal.operations.find_key import decide_about, read_key, require_entry
from privyseal.operations.manage import require_role
from privyseal.operations.perform import Caller
from privyseal.wire.frames import Policy

_TRIED_AS = {Operation.KEY_VERIFY: Operation.KEY_READ}  # whoever may see a key may verify with it
_USES = {Operation(f"key:{use.value}"): use for use in Use}
_USING = (Operation.KEY_EXPORT, *_USES)


@dataclass(frozen=True, slots=True)
class Question:
    """May this user do this, with this key in this core, with this credential?

    Attributes:
        core, key: None where the operation is not about one.
        credential: public id; None for who logs in with a password.
    """

    user: str
    operation: Operation
    core: str | None = None
    key: str | None = None
    credential: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The decision, and what else has to be true for it to work out, a sentence each."""

    decision: Decision
    conditions: tuple[str, ...] = ()


async def explain_access(appliance: Appliance, caller: Caller, question: Question) -> Explanation:
    """Say whether and why a user may do something, naming the rule that decides or the one that is missing.

    A user who asks about a key that he may not know of gets the answer for a key that is not there.

    Raises:
        AccessRefusedError: the question is about somebody else, and the caller does not manage rules.
        InvalidRequestError: core or key is missing.
        NotFoundError: there is no such user, core or credential.
    """
    if question.user != caller.user.name:
        require_role(caller, Operation.RULE_MANAGE)
    try:
        account = _account(caller, question)
    except UnauthenticatedError as error:
        return Explanation(Decision(allowed=False, reason=str(error)))
    operation = _TRIED_AS.get(question.operation, question.operation)
    if operation is Operation.CORE_LOGIN:
        return Explanation(_entry(Caller(account, caller.snapshot), _core(caller, question)))
    if operation not in RULE_OPERATIONS:
        return Explanation(by_role(account, operation))
    return await _about_key(appliance, Caller(account, caller.snapshot), operation, question)


def _account(caller: Caller, question: Question) -> User:
    account = caller.snapshot.users.get(question.user)
    if account is None:
        raise NotFoundError(f"there is no user '{question.user}'; see `privyseal user list`")
    if question.credential is None:
        return account
    known = caller.snapshot.credentials.get(question.credential)
    if known is None or known.user.name != account.name:
        words = f"user '{account.name}' has no credential '{question.credential}'; see `privyseal credential list`"
        raise NotFoundError(words)
    return standing(known)


def _core(caller: Caller, question: Question) -> Core:
    if question.core is None:
        raise InvalidRequestError(
            FieldError("query.core", f"say in which core: {question.operation.value} is about one")
        )
    return caller.snapshot.core(question.core)


def _entry(asker: Caller, core: Core) -> Decision:
    try:
        require_entry(asker, core, Operation.KEY_SIGN)
    except AccessRefusedError as error:
        return error.decision
    return Decision(allowed=True, reason=f"user '{asker.user.name}' has a part in core {core.number}")


async def _about_key(appliance: Appliance, asker: Caller, operation: Operation, question: Question) -> Explanation:
    core = _core(asker, question)
    if question.key is None:
        raise InvalidRequestError(FieldError("query.key", f"say with which key: {operation.value} is about one"))
    rules = asker.snapshot.rules_of(asker.user, core)
    if operation.value.startswith("object:"):  # they have a label and nothing else that a rule could go by
        return Explanation(decide(asker.user, operation, core.number, question.key, rules))
    key, is_it = await read_key(appliance, core, question.key)
    if key is None or not is_it:
        return Explanation(decide(asker.user, operation, core.number, question.key, rules))
    if question.operation is Operation.KEY_VERIFY and key.type.is_symmetric:
        operation = Operation.KEY_SIGN  # verifying a MAC is making it once more
    decision = decide_about(asker, operation, key)
    if decision.allowed:
        return Explanation(decision, tuple(_conditions(asker, operation, KnownKey.of(key))))
    if asker.user.role is not Role.OPERATOR or asker.user.scope is not None:
        return Explanation(decision)
    return Explanation(refusal(asker.user, operation, core.number, question.key))


def _conditions(asker: Caller, operation: Operation, known: KnownKey) -> Iterator[str]:
    key = known.key
    if operation.value in KEY_OPERATIONS:
        quorum = asker.snapshot.quorum(operation.value, key.core, key.id)
        if quorum is not None:
            approvers = ", ".join(quorum.approvers)
            yield f"each needs the approval of {quorum.needed} of {approvers} (quorum {quorum.number})"
    if operation not in _USING:
        return
    if known.unusable is not None:
        yield known.unusable
    if key.has_pin and (operation is not Operation.KEY_ENCRYPT or key.type.is_symmetric):
        yield "it takes the key's PIN"
    yield from _of_policy(operation, known.policy)


def _of_policy(operation: Operation, policy: Policy) -> Iterator[str]:
    now = time.time()
    if operation is Operation.KEY_EXPORT:
        if not policy.exportable:
            yield "the key's policy lets it never leave"
        return
    use = _USES[operation]
    if use.value not in policy.operations:
        yield f"the key's policy does not allow to {use.value}"
    if policy.not_before is not None and now < policy.not_before:
        yield f"the key's policy does not allow it before {_date(policy.not_before)}"
    if policy.not_after is not None:
        verdict = "does not allow it after" if now > policy.not_after else "allows it until"
        yield f"the key's policy {verdict} {_date(policy.not_after)}"
    if policy.hashes is not None:
        yield f"the key's policy allows {', '.join(policy.hashes)} only"
    if not policy.raw_digest and use is Use.SIGN:
        yield "the key's policy wants the data itself, not a digest"
    if policy.max_uses is not None:
        noun = "signatures" if use is Use.SIGN else "uses"
        yield f"the key's policy allows {policy.max_uses} {noun} with each version"


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
