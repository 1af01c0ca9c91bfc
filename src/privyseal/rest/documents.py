"""From nouns to the JSON documents of docs/reference/rest.md."""

import base64
from datetime import datetime
from typing import Any

from privyseal import __version__
from privyseal.model.access import KEY_RULE_OPERATIONS, AccessRule, Group, Operation, Selector
from privyseal.model.approvals import Approval, Quorum
from privyseal.model.backups import BackupRecipient
from privyseal.model.certificates import ClientCertificate
from privyseal.model.cores import PIN_MAX, PIN_MIN, Core
from privyseal.model.credentials import Credential
from privyseal.model.keys import Family, Key, Use
from privyseal.operations.explain_access import Explanation
from privyseal.operations.find_key import decide_about
from privyseal.operations.list_keys import allowed_operations
from privyseal.operations.manage_cores import CountedCore
from privyseal.operations.manage_rules import MadeRule
from privyseal.operations.manage_tls import InForce
from privyseal.operations.manage_users import Account
from privyseal.operations.merge import Merged
from privyseal.operations.perform import Caller
from privyseal.store.events import Recorded
from privyseal.store.times import from_micros, now
from privyseal.wire import frames, policies
from privyseal.wire.uri import key_uri

Document = dict[str, Any]
HARDWARE_VERSION = "1.0"


def timestamp(time: datetime) -> str:
    """Write a time as RFC 3339 in UTC."""
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")


def merged_document(merged: Merged) -> Document:
    """Write what a merge brought back."""
    missing = merged.missing
    return {
        "node": merged.header.node,
        "created": timestamp(from_micros(merged.header.created)),
        "last_event": merged.header.last_event,
        "merged": merged.done,
        "cores": [row["name"] for row in missing.cores.values()],
        "users": list(missing.users),
        "groups": list(missing.groups),
        "keys": [{"core": row["core"], "id": row["id"], "label": row["label"]} for row in missing.keys.values()],
        "members": len(missing.members),
        "rules": len(missing.rules),
        "quorums": len(missing.quorums),
        "objects": len(missing.objects),
        "conflicts": missing.conflicts,
    }


def tls_document(found: InForce) -> Document:
    """Write the TLS certificate in force."""
    return {
        "subject": found.subject,
        "issuer": found.issuer,
        "names": list(found.names),
        "not_before": timestamp(found.not_before),
        "not_after": timestamp(found.not_after),
        "fingerprint": found.fingerprint,
        "own": found.own,
        "authority": {"subject": found.authority, "fingerprint": found.authority_fingerprint},
    }


def core_document(counted: CountedCore) -> Document:
    """Write a core."""
    core = counted.core
    return {
        "number": core.number,
        "name": core.name,
        "pin_required": core.pin_required,
        "keys": counted.keys,
        "destroy_days": core.destroy_days,
        "created": timestamp(core.created),
        "pin": {
            "min": PIN_MIN,
            "max": PIN_MAX,
            "delay_from": core.pin_delay_from,
            "lock_at": core.pin_lock_at,
        },
        "token": {
            "label": core.token_label,
            "description": f"Privyseal core {core.number} ({core.name})"[:64],
            "manufacturer": core.manufacturer,
            "model": core.model,
            "serial": core.serial,
            "hardware_version": HARDWARE_VERSION,
            "firmware_version": ".".join(__version__.split(".")[:2]),
        },
    }


def key_document(caller: Caller, core: Core, key: Key) -> Document:
    """Write a key as this caller may see it; what it can do is what its policy leaves of what its type can."""
    policy = frames.policy(key.policy)
    return {
        "id": key.id,
        "core": key.core,
        "label": key.label,
        "type": key.type.value,
        "pin": key.has_pin,
        "created": timestamp(key.created),
        "public_key": base64.b64encode(key.public_key).decode() if key.public_key else None,
        "mechanisms": list(policy.mechanisms),
        "hashes": [hash_.value for hash_ in key.hashes if policy.hashes is None or hash_.value in policy.hashes],
        "operations": [*allowed_operations(caller, key, KEY_RULE_OPERATIONS), *_verbs(caller, key, policy)],
        "uri": key_uri(core, key),
        "state": key.state,
        "version": key.version,
        "version_created": timestamp(key.version_created or key.created),
        "rotate_after": key.rotate_after,
        "destroy_at": None if key.destroy_at is None else timestamp(key.destroy_at),
        "origin": policy.origin,
        "policy": policies.document(policy),
        "tags": list(key.tags),
        "object_id": key.object_id,
    }


def _verbs(caller: Caller, key: Key, policy: frames.Policy) -> list[str]:
    """Give what the caller can ask this key to do: what type, policy and rules all allow."""
    words = _CAPSULES if key.type.family is Family.ML_KEM else {}
    allowed = [use for use in key.type.uses if use.value in policy.operations]
    verbs = [words.get(use, use.value) for use in allowed if decide_about(caller, _RULES[use], key).allowed]
    if Use.SIGN in key.type.uses and (not key.type.is_symmetric or "sign" in verbs):
        verbs.append("verify")
    return verbs


_RULES = {use: Operation(f"key:{use.value}") for use in Use}
_CAPSULES = {Use.ENCRYPT: "encapsulate", Use.DECRYPT: "decapsulate"}


def user_document(account: Account) -> Document:
    """Write a user, without anything of the password."""
    user = account.user
    return {
        "name": user.name,
        "role": user.role.value,
        "created": timestamp(user.created),
        "locked": account.locked,
    }


def group_document(group: Group) -> Document:
    """Write a group."""
    return {"name": group.name, "members": list(group.members), "created": timestamp(group.created)}


def made_rule_document(made: MadeRule) -> Document:
    """Write a rule that was made or changed, with what may not have been meant."""
    return rule_document(made.rule) | {"warnings": list(made.warnings)}


def rule_document(rule: AccessRule) -> Document:
    """Write an access rule."""
    return {
        "number": rule.number,
        "user": rule.user,
        "core": rule.core,
        "operations": sorted(operation.value for operation in rule.operations),
        "keys": rule.keys if rule.selector is Selector.LABEL else None,
        "created": timestamp(rule.created),
        "group": rule.group,
        "key_id": rule.keys if rule.selector is Selector.ID else None,
        "tag": rule.keys if rule.selector is Selector.TAG else None,
    }


def credential_document(credential: Credential) -> Document:
    """Write a credential, without its token."""
    operations = credential.operations
    return {
        "id": credential.id,
        "user": credential.user,
        "name": credential.name,
        "operations": None if operations is None else sorted(operation.value for operation in operations),
        "core": credential.core,
        "keys": credential.keys,
        "state": credential.state(now()),
        "created": timestamp(credential.created),
        "expires": timestamp(credential.expires),
        "revoked": None if credential.revoked is None else timestamp(credential.revoked),
        "last_used": None if credential.last_used is None else timestamp(credential.last_used),
    }


def certificate_document(certificate: ClientCertificate) -> Document:
    """Write a client certificate."""
    return {
        "fingerprint": f"sha256:{certificate.fingerprint}",
        "user": certificate.user,
        "subject": certificate.subject,
        "not_before": timestamp(certificate.not_before),
        "not_after": timestamp(certificate.not_after),
        "state": certificate.state(now()),
        "created": timestamp(certificate.created),
    }


def quorum_document(quorum: Quorum) -> Document:
    """Write a quorum."""
    return {
        "number": quorum.number,
        "operation": quorum.operation,
        "core": quorum.core,
        "key": quorum.key,
        "needed": quorum.needed,
        "approvers": list(quorum.approvers),
        "created": timestamp(quorum.created),
    }


def approval_document(approval: Approval) -> Document:
    """Write a request for approval."""
    return {
        "number": approval.number,
        "state": approval.state.value,
        "requester": approval.requester,
        "operation": approval.operation,
        "core": approval.core,
        "key": approval.key,
        "what": approval.words,
        "needed": approval.needed,
        "approvers": list(approval.approvers),
        "approved": list(approval.approved),
        "refused": list(approval.refused),
        "created": timestamp(approval.created),
        "expires": timestamp(approval.expires),
    }


def recipient_document(recipient: BackupRecipient) -> Document:
    """Write who can open backups."""
    return {
        "name": recipient.name,
        "kind": recipient.kind,
        "public_key": base64.b64encode(recipient.public_key).decode(),
        "created": timestamp(recipient.created),
    }


def explanation_document(explanation: Explanation) -> Document:
    """Write a decision with its reason, and what else has to be true."""
    decision = explanation.decision
    return {
        "allowed": decision.allowed,
        "reason": decision.reason,
        "rule": decision.rule,
        "missing_rule": decision.missing_rule,
        "group": decision.group,
        "conditions": list(explanation.conditions),
    }


def event_document(recorded: Recorded) -> Document:
    """Write an event."""
    event = recorded.event
    return {
        "number": recorded.number,
        "time": from_micros(event.time).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "node": event.node,
        "user": event.user,
        "operation": event.operation,
        "core": event.core,
        "key": event.key,
        "mechanism": event.mechanism,
        "input": event.input,
        "outcome": event.outcome.value,
        "reason": event.reason,
        "keeper": event.keeper,
        "use": event.use,
    }
