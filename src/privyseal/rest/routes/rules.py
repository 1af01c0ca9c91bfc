"""Access rules, and the answer to "why (not)?"."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from privyseal.model.access import Operation
from privyseal.operations import manage_rules
from privyseal.operations.explain_access import Question, explain_access
from privyseal.rest.documents import explanation_document, made_rule_document, rule_document
from privyseal.rest.entrance import NUMBER_MAX, Body, Enter

router = APIRouter(tags=["access"])
Number = Annotated[int, Path(ge=1, le=NUMBER_MAX)]


class NewRule(Body):
    """`POST /rules`."""

    user: str | None = None
    group: str | None = None
    core: int | str
    operations: list[Operation]
    keys: str | None = None
    key_id: str | None = None
    tag: str | None = None


class RuleChanges(Body):
    """`PUT /rules/{number}`; what is left out stays."""

    operations: list[Operation] | None = None
    keys: str | None = None
    key_id: str | None = None
    tag: str | None = None


@router.get("/rules")
async def rules(
    enter: Enter, user: str | None = None, core: str | None = None, group: str | None = None
) -> dict[str, Any]:
    """List rules."""
    found = await enter(
        "rule:list", lambda caller, _: manage_rules.list_rules(enter.appliance, caller, user, core, group)
    )
    return {"rules": [rule_document(rule) for rule in found]}


@router.post("/rules", status_code=201)
async def create(body: NewRule, enter: Enter) -> dict[str, Any]:
    """Make a rule for a user or a group, about the keys of a label pattern, an id or a tag."""
    subject = manage_rules.Subject(body.user, body.group)
    selected = manage_rules.Selected(body.keys, body.key_id, body.tag)
    return await enter.once(
        "rule:create",
        lambda caller, act: manage_rules.create_rule(
            enter.appliance, caller, act, subject, str(body.core), body.operations, selected
        ),
        made_rule_document,
    )


@router.get("/rules/{number}")
async def show(number: Number, enter: Enter) -> dict[str, Any]:
    """Show a rule."""
    return rule_document(
        await enter("rule:read", lambda caller, _: manage_rules.get_rule(enter.appliance, caller, number))
    )


@router.put("/rules/{number}")
async def update(number: Number, body: RuleChanges, enter: Enter) -> dict[str, Any]:
    """Change a rule."""
    selected = manage_rules.Selected(body.keys, body.key_id, body.tag)
    changed = await enter(
        "rule:update",
        lambda caller, act: manage_rules.update_rule(enter.appliance, caller, act, number, body.operations, selected),
    )
    return made_rule_document(changed)


@router.delete("/rules/{number}", status_code=204)
async def delete(number: Number, enter: Enter) -> None:
    """Delete a rule."""
    await enter("rule:delete", lambda caller, act: manage_rules.delete_rule(enter.appliance, caller, act, number))


@router.get("/access/explain")
async def explain(
    enter: Enter,
    user: str,
    operation: Operation,
    core: str | None = None,
    key: Annotated[str | None, Query(min_length=1)] = None,
    credential: str | None = None,
) -> dict[str, Any]:
    """Say why a user may or may not do something."""
    question = Question(user, operation, core, key, credential)
    return explanation_document(
        await enter("access:explain", lambda caller, _: explain_access(enter.appliance, caller, question))
    )
