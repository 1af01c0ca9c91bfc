"""The tables. Times are microseconds since the epoch; a change here comes with a migration beside it."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from privyseal.model import event

metadata = MetaData(
    naming_convention={
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)

_NUMBER = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only in INTEGER columns

appliance = Table(
    "appliance",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("node", String(64), nullable=False),
    Column("generation", BigInteger, nullable=False),  # grows with every change that a decision may rest on
    Column("created", BigInteger, nullable=False),
)

unlock_slots = Table(
    "unlock_slots",
    metadata,
    Column("number", _NUMBER, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created", BigInteger, nullable=False),
)

cores = Table(
    "cores",
    metadata,
    Column("number", _NUMBER, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("pin_required", Boolean, nullable=False),
    Column("pin_salt", LargeBinary, nullable=False),
    Column("serial", String(16), nullable=False, unique=True),
    Column("token_label", String(32), nullable=False),
    Column("manufacturer", String(32), nullable=False),
    Column("model", String(16), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("destroy_days", Integer, nullable=False, server_default="30"),
    Column("pin_delay_from", Integer, nullable=False, server_default="5"),
    Column("pin_lock_at", Integer, nullable=False, server_default="10"),
)

users = Table(
    "users",
    metadata,
    Column("number", _NUMBER, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("password", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
)

rules = Table(
    "rules",
    metadata,
    Column("number", _NUMBER, primary_key=True),
    Column("user", String(64), ForeignKey("users.name", ondelete="CASCADE"), index=True),  # or `group`, never both
    Column("core", BigInteger, ForeignKey("cores.number", ondelete="CASCADE"), nullable=False),
    Column("operations", Text, nullable=False),
    Column("keys", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("selector", String(8), nullable=False, server_default="keys"),
    Column("group", String(64), ForeignKey("groups.name", ondelete="CASCADE"), index=True),
)

keys = Table(
    "keys",
    metadata,
    Column("number", _NUMBER, primary_key=True),
    Column("id", String(16), nullable=False, unique=True),
    Column("core", BigInteger, ForeignKey("cores.number"), nullable=False),
    Column("label", String(128), nullable=False),
    Column("type", String(32), nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("has_pin", Boolean, nullable=False),
    Column("pin_tag", LargeBinary),
    Column("sealed", LargeBinary, nullable=False),
    Column("policy", LargeBinary, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("disabled", Boolean, nullable=False, server_default=false()),
    Column("destroy_at", BigInteger, index=True),
    Column("rotate_after", Integer),
    Column("rotate_at", BigInteger, index=True),
    Column("version_created", BigInteger),
    Column("tags", Text, nullable=False, server_default=""),  # as `key_tags` has them, to be read with the row
    Column("object_id", String(128), nullable=False, server_default=""),
    UniqueConstraint("core", "label", name="uq_keys_core_label"),
    Index("ix_keys_core_number", "core", "number"),
    Index("ix_keys_core_pin_tag", "core", "pin_tag"),
    Index("ix_keys_core_object_id", "core", "object_id", "number"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("subject", String(128), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("pending", Integer, nullable=False),
    Column("last", BigInteger, nullable=False),
)

ended_tickets = Table(
    "ended_tickets",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("expires", BigInteger, nullable=False),  # seconds: it is compared with tickets only
)

events = Table(
    "events",
    metadata,
    Column("number", _NUMBER, primary_key=True, autoincrement=False),
    Column("time", BigInteger, nullable=False),
    Column("node", String(64), nullable=False),
    Column("user", String(64), nullable=False),
    Column("operation", String(32), nullable=False),
    Column("core", BigInteger),
    Column("key", String(128)),
    Column("mechanism", String(32)),
    Column("input", String(64)),
    Column("outcome", String(8), nullable=False),
    Column("reason", Text),
    Column("keeper", String(16)),
    Column("use", BigInteger),
)

# The events that say which public half a key got. In words, because a partial index is used for the same words alone.
MADE = text(f"operation IN {event.MADE} AND input IS NOT NULL")
Index("ix_events_made", events.c.key, events.c.number, sqlite_where=MADE, postgresql_where=MADE)

tree_edge = Table(  # the right edge of the tree over the record: one row, written with the events
    "tree_edge",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("roots", LargeBinary, nullable=False),
)

tree_nodes = Table(  # complete nodes of every 8th level above the leaves
    "tree_nodes",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("place", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
)

audit_key = Table(  # one row
    "audit_key",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("id", String(16), nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("policy", LargeBinary, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created", BigInteger, nullable=False),
)

quorums = Table(
    "quorums",
    metadata,
    Column("number", _NUMBER, primary_key=True),
    Column("operation", String(32), nullable=False),
    Column("core", BigInteger, ForeignKey("cores.number", ondelete="CASCADE")),
    Column("key", String(16)),
    Column("needed", Integer, nullable=False),
    Column("approvers", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
)

approvals = Table(
    "approvals",
    metadata,
    Column("number", _NUMBER, primary_key=True),
    Column("quorum", BigInteger, nullable=False),  # stays readable when the quorum is gone
    Column("requester", String(64), nullable=False),
    Column("operation", String(32), nullable=False),
    Column("core", BigInteger),
    Column("key", String(128)),
    Column("subject", String(64), nullable=False),
    Column("words", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("used", BigInteger),
    Index("ix_approvals_subject_requester", "subject", "requester"),
)

votes = Table(
    "votes",
    metadata,
    Column("approval", BigInteger, ForeignKey("approvals.number", ondelete="CASCADE"), primary_key=True),
    Column("user", String(64), primary_key=True),
    Column("agrees", Boolean, nullable=False),
    Column("time", BigInteger, nullable=False),
)

backup_recipients = Table(
    "backup_recipients",
    metadata,
    Column("number", _NUMBER, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("created", BigInteger, nullable=False),
)

replays = Table(
    "replays",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("content", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("answer", Text, nullable=False),
    Column("expires", BigInteger, nullable=False, index=True),
)

key_versions = Table(
    "key_versions",  # those before the current one, which is in `keys`
    metadata,
    Column("key", String(16), ForeignKey("keys.id", ondelete="CASCADE"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("has_pin", Boolean, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("policy", LargeBinary, nullable=False),
    Column("created", BigInteger, nullable=False),
)

key_counters = Table(
    "key_counters",
    metadata,
    Column("key", String(16), ForeignKey("keys.id", ondelete="CASCADE"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("uses", BigInteger, nullable=False),  # what the keeper counted; `sealed` says the same
    Column("delivered", BigInteger, nullable=False),  # signatures on record; never more than the policy allows
    Column("sealed", LargeBinary, nullable=False),
)

leases = Table(
    "leases",  # which process does what only one should do
    metadata,
    Column("name", String(32), primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("expires", BigInteger, nullable=False),
)

domain_rotation = Table(  # one row while the domain key is being rotated, else none
    "domain_rotation",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(32), nullable=False),  # the next domain key's public name
    Column("user", String(64), nullable=False),
    Column("phase", String(16), nullable=False),
    Column("source", Integer, nullable=False),  # which of `store.sealed.SOURCES`
    Column("position", BigInteger, nullable=False),  # the number of the last record there that is done
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("damaged", Text, nullable=False),  # what does not open, so that the old key must stay; else empty
    Column("driver", String(32), nullable=False),  # the worker that does it, until `lease` is over
    Column("lease", BigInteger, nullable=False),
    Column("started", BigInteger, nullable=False),
)

groups = Table(
    "groups",
    metadata,
    Column("number", _NUMBER, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("created", BigInteger, nullable=False),
)

group_members = Table(
    "group_members",
    metadata,
    Column("group", String(64), ForeignKey("groups.name", ondelete="CASCADE"), primary_key=True),
    Column("user", String(64), ForeignKey("users.name", ondelete="CASCADE"), primary_key=True, index=True),
)

key_tags = Table(
    "key_tags",  # by core and tag in the order of the keys' numbers, so that a page of them is one stretch of the index
    metadata,
    Column("key", String(16), ForeignKey("keys.id", ondelete="CASCADE"), primary_key=True),
    Column("tag", String(128), primary_key=True),
    Column("core", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
    Index("ix_key_tags_core_tag_number", "core", "tag", "number"),
)

objects = Table(
    "objects",  # what PKCS #11 hosts keep here that is no secret: certificates, public keys, data
    metadata,
    Column("number", _NUMBER, primary_key=True),
    Column("id", String(16), nullable=False, unique=True),
    Column("core", BigInteger, ForeignKey("cores.number"), nullable=False),
    Column("class", String(16), nullable=False),
    Column("label", String(128), nullable=False),
    Column("object_id", String(128), nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("application", String(128)),
    Column("oid", String(128)),
    Column("created", BigInteger, nullable=False),
    Index("ix_objects_core_number", "core", "number"),
    Index("ix_objects_core_label", "core", "label", "number"),
    Index("ix_objects_core_object_id", "core", "object_id", "number"),
)

credentials = Table(
    "credentials",
    metadata,
    Column("id", String(16), primary_key=True),  # public; the token names it
    Column("user", String(64), ForeignKey("users.name", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", String(64), nullable=False),
    Column("operations", Text),  # none means all that the user may
    Column("core", BigInteger, ForeignKey("cores.number", ondelete="CASCADE")),
    Column("keys", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("revoked", BigInteger),
    Column("last_used", BigInteger),
)

client_certificates = Table(
    "client_certificates",
    metadata,
    Column("fingerprint", String(64), primary_key=True),
    Column("user", String(64), ForeignKey("users.name", ondelete="CASCADE"), nullable=False, index=True),
    Column("der", LargeBinary, nullable=False),
    Column("subject", Text, nullable=False),
    Column("not_before", BigInteger, nullable=False),
    Column("not_after", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
)
