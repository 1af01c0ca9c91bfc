"""Who may do what: users, roles, operations, access rules, and the verdict with its reason."""

import enum
from dataclasses import dataclass
from datetime import datetime


class Operation(enum.Enum):
    """What an access rule can allow, as resource:action. Alphabetical; a typo cannot pass."""

    APPLIANCE_MANAGE = "appliance:manage"
    AUDIT_READ = "audit:read"
    BACKUP_CREATE = "backup:create"
    BACKUP_MANAGE = "backup:manage"
    CORE_LOGIN = "core:login"
    CORE_MANAGE = "core:manage"
    KEY_DECRYPT = "key:decrypt"
    KEY_DERIVE = "key:derive"
    KEY_DESTROY = "key:destroy"
    KEY_ENCRYPT = "key:encrypt"
    KEY_EXPORT = "key:export"
    KEY_GENERATE = "key:generate"
    KEY_IMPORT = "key:import"
    KEY_MANAGE = "key:manage"
    KEY_READ = "key:read"
    KEY_SIGN = "key:sign"
    KEY_UNWRAP = "key:unwrap"
    KEY_VERIFY = "key:verify"
    KEY_WRAP = "key:wrap"
    METRICS_READ = "metrics:read"
    OBJECT_CREATE = "object:create"
    OBJECT_DESTROY = "object:destroy"
    OBJECT_READ = "object:read"
    RULE_MANAGE = "rule:manage"
    USER_MANAGE = "user:manage"


RULE_OPERATIONS = (
    Operation.KEY_DECRYPT,
    Operation.KEY_DERIVE,
    Operation.KEY_DESTROY,
    Operation.KEY_ENCRYPT,
    Operation.KEY_EXPORT,
    Operation.KEY_GENERATE,
    Operation.KEY_IMPORT,
    Operation.KEY_MANAGE,
    Operation.KEY_READ,
    Operation.KEY_SIGN,
    Operation.KEY_UNWRAP,
    Operation.KEY_WRAP,
    Operation.OBJECT_CREATE,
    Operation.OBJECT_DESTROY,
    Operation.OBJECT_READ,
)
"""What may stand in an access rule; the others go by role."""

KEY_RULE_OPERATIONS = tuple(one for one in RULE_OPERATIONS if one.value.startswith("key:"))
"""Those of them that are about keys. One word of these is enough for a host to see the key."""


class Role(enum.Enum):
    """What a user is here for. Administrators manage and cannot sign."""

    ADMINISTRATOR = "administrator"
    AUDITOR = "auditor"
    BACKUP = "backup"
    METRICS = "metrics"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class User:
    """A person or a machine with an account. `password` is an Argon2id PHC string, never shown.

    `scope` is what a credential leaves of what the user may; None for who logged in with a password or certificate.
    `certificate` is the fingerprint of the client certificate that the user came with, None for all others.
    """

    number: int
    name: str
    role: Role
    password: str
    created: datetime
    scope: "Scope | None" = None
    certificate: str | None = None

    @property
    def way_in(self) -> str | None:
        """What the user came with in a password's place, in the record's words."""
        if self.scope is not None:
            return f"credential {self.scope.credential}"
        return None if self.certificate is None else f"certificate sha256:{self.certificate}"

    def __repr__(self) -> str:
        """Leave the password hash out of every log and traceback."""
        return f"User({self.name!r}, {self.role.value})"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a credential is good for: never more than its user may.

    Attributes:
        credential: its public id.
        account: the user as without the credential.
        operations: None for all that the user may; for administrators, none at all.
        core: the only core; None for every one.
        keys: label pattern of the keys.
    """

    credential: str
    account: User
    operations: frozenset[Operation] | None
    core: int | None
    keys: str


@dataclass(frozen=True, slots=True)
class Group:
    """Users for whom the same rules shall hold; `members` are names in alphabetical order."""

    number: int
    name: str
    members: tuple[str, ...]
    created: datetime


class Selector(enum.Enum):
    """How a rule says which keys it is about. The value is the word for it in REST and in the database."""

    LABEL = "keys"
    ID = "key_id"
    TAG = "tag"


@dataclass(frozen=True, slots=True)
class AccessRule:
    """*user*, or everybody in *group*, may do *operations* with the keys in *core* that *keys* selects.

    Attributes:
        user: None when it is for a group; exactly one of the two is there.
        keys: as `selector` says: a label pattern (`*` is any run of characters), a key's id, or a tag.
    """

    number: int
    user: str | None
    core: int
    operations: frozenset[Operation]
    keys: str
    created: datetime
    selector: Selector = Selector.LABEL
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict that says why; the reason goes to the record and to the answer word for word.

    Attributes:
        rule: the number of the rule that decided, None when a role or the lack of a rule did.
        missing_rule: the command that would allow it, None when it is allowed, no rule could, or none can be named.
        group: the group that the rule is for, None when it is for the user.
    """

    allowed: bool
    reason: str
    rule: int | None = None
    missing_rule: str | None = None
    group: str | None = None
