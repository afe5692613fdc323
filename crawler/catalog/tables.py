"""The catalog's tables."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

from crawler.catalog.engine import BYTEWISE

SCHEMA_VERSION = 2
"""Raised whenever the meaning of a table below changes."""

metadata = MetaData()

schema_version = Table("catalog_schema", metadata, Column("version", Integer, primary_key=True))

walk = Table(
    "walk",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("hub", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("rules", String, nullable=False),
    Column("since", String),
    Column("started_at", String, nullable=False),
    Column("ended_at", String),
    Column("complete", Boolean, nullable=False, default=False),
    Column("looked", Integer, nullable=False, default=0),
    Column("found", Integer, nullable=False, default=0),
)
"""One row for each pass over a hub's listings. `ended_at` is empty while it runs, and stays so when it was
killed or its hub failed: the next crawl goes on with it. `found` counts the checkpoints that it wrote."""

shard = Table(
    "shard",
    metadata,
    Column("hub", String, primary_key=True),
    Column("shard", BYTEWISE, primary_key=True),
    Column("cursor", Text),
    Column("finished", Boolean, nullable=False, default=False),
    Column("pages", Integer, nullable=False, default=0),
    Column("listed", Integer, nullable=False, default=0),
    Column("failures", Integer, nullable=False, default=0),
    Column("error", Text, nullable=False, default=""),
)
"""How far each listing of a hub has been read in its newest pass."""

repository = Table(
    "repository",
    metadata,
    Column("hub", String, primary_key=True),
    Column("number", BYTEWISE, primary_key=True),
    Column("repo", BYTEWISE, nullable=False),
    Column("revision", BYTEWISE, nullable=False),
    Column("presence", String, nullable=False),
    Column("created_at", String),
    Column("updated_at", String),
    Column("downloads", BigInteger),
    Column("license", String),
    Column("facts", Text, nullable=False),
    Column("read_as", String, nullable=False),
    Column("pending", Boolean, nullable=False),
    Column("looked", Integer, nullable=False, default=0),
    Column("walk", Integer, nullable=False),
    Column("first_seen", String, nullable=False),
    Column("last_seen", String, nullable=False),
    Column("missed", Integer, nullable=False, default=0),
    Column("unreachable_since", String),
    Column("probed_at", String),
    Index("repository_repo", "hub", "repo"),
    Index("repository_first_seen", "first_seen"),
)
"""What a hub lists. Rows are never deleted.

`read_as` is a digest of what was said and of the rules it was read by: while it stays the same nothing is
decided again. `pending` ones are still to be looked into; `looked` is the walk that last tried. `walk` is the
one that last saw it, `missed` how many full ones in a row have not.
"""
Index(
    "repository_pending",
    repository.c.hub,
    repository.c.downloads,
    sqlite_where=text("pending = 1"),  # as a condition on a boolean is written for SQLite
    postgresql_where=repository.c.pending,
)

proof = Table(
    "proof",
    metadata,
    Column("hub", String, primary_key=True),
    Column("number", BYTEWISE, primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("detail", Text, nullable=False),
)
"""The days on which a hub denied a repository that its listings did not show."""

event = Table(
    "event",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", String, nullable=False),
    Column("hub", String, nullable=False),
    Column("number", BYTEWISE, nullable=False),
    Column("repo", BYTEWISE, nullable=False),
    Column("what", String, nullable=False),
    Column("detail", Text, nullable=False),
    Index("event_at", "at"),
    Index("event_number", "hub", "number"),
)
"""What became of known repositories. What is new is told by `repository.first_seen`."""

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("id", BYTEWISE, primary_key=True),
    Column("key", String(16), nullable=False),
    Column("hub", String, nullable=False),
    Column("repo", BYTEWISE, nullable=False),
    Column("revision", BYTEWISE, nullable=False),
    Column("path", BYTEWISE, nullable=False),
    Column("kind", String, nullable=False),
    Column("layout", String, nullable=False),
    Column("family", String, nullable=False),
    Column("sha256", String(64)),
    Column("base_repo", String),
    Column("base_grade", Integer),
    Column("title", Text, nullable=False),
    Column("downloads", BigInteger),
    Column("current", Boolean, nullable=False),
    Column("first_seen", String, nullable=False),
    Column("last_seen", String, nullable=False),
    Column("record", Text, nullable=False),
    Index("checkpoint_key", "key"),
    Index("checkpoint_repo", "hub", "repo"),
    Index("checkpoint_sha256", "sha256"),
)
"""`current` is false once a newer revision, or a skip, has taken the place. `record` is the Checkpoint."""

skip = Table(
    "skip",
    metadata,
    Column("hub", String, primary_key=True),
    Column("repo", BYTEWISE, primary_key=True),
    Column("revision", BYTEWISE, primary_key=True),
    Column("path", BYTEWISE, primary_key=True),
    Column("reason", String, nullable=False),
    Column("first_seen", String, nullable=False),
    Column("last_seen", String, nullable=False),
    Column("record", Text, nullable=False),
)

claim = Table(
    "claim",
    metadata,
    Column("checkpoint_id", BYTEWISE, primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("source", String, nullable=False),
    Column("repo", BYTEWISE),
    Column("family", String),
    Column("grade", Integer, nullable=False),
    Column("digest", String(64)),
    Index("claim_repo", "repo"),
    Index("claim_digest", "digest"),
)
"""Every statement about a checkpoint's base, best first. `digest` is the SHA-256 of the base, where the claim
names it."""

observation = Table(
    "observation",
    metadata,
    Column("checkpoint_id", Text, primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("what", String, nullable=False),
    Column("source", String, nullable=False),
    Column("digest", String(32), nullable=False),
    Index("observation_digest", "digest"),
)
"""What headers give away of people, by a keyed hash: the same digest in two places is the same text."""

identity = Table(
    "identity",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("asked_at", String, nullable=False),
    Column("hub", String),
    Column("repo", String),
    Column("revision", String),
    Column("title", Text),
    Column("family", String),
)
"""Whose file a digest is that a header names as its base; without a hub: nobody's who was asked."""

base = Table(
    "base",
    metadata,
    Column("repo", BYTEWISE, primary_key=True),
    Column("asked_at", String, nullable=False),
    Column("found", Boolean, nullable=False),
    Column("revision", BYTEWISE, nullable=False),
    Column("record", Text, nullable=False),
)
"""Base models by the name they are asked for. `record` is a Base, or the Skip that says why not."""

header = Table(
    "header",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("data", LargeBinary, nullable=False),
)
"""Safetensors headers by the SHA-256 of their file, deflated."""

answer = Table(
    "answer",
    metadata,
    Column("name", BYTEWISE, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)
"""Answers that cannot change, such as the file list of a commit, deflated."""

sample = Table(
    "sample",
    metadata,
    Column("name", BYTEWISE, primary_key=True),
    Column("drawn_at", String, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("size", Integer, nullable=False),
    Column("strata_by", Text, nullable=False),
    Column("allocation", String, nullable=False),
    Column("minimum", Integer, nullable=False),
    Column("selection", Text, nullable=False),
    Column("strata", Text, nullable=False),
    Column("contents", Integer, nullable=False),
    Column("places", Integer, nullable=False),
    Column("catalog_places", Integer, nullable=False),
)
"""Samples that were drawn, with all that is needed to draw them again. `strata` holds their values and sizes
as JSON; `contents` and `places` count what could be drawn, `catalog_places` all current checkpoints."""

sample_member = Table(
    "sample_member",
    metadata,
    Column("sample", String, primary_key=True),
    Column("content", BYTEWISE, primary_key=True),
    Column("place", Integer, nullable=False),
    Column("checkpoint_id", BYTEWISE, nullable=False),
    Column("stratum", Integer, nullable=False),
    Column("probability", Float, nullable=False),
    Column("weight", Float, nullable=False),
    Index("sample_member_content", "content"),
)
"""What was drawn, in the order of drawing. `content` is the SHA-256 of the weights, or the checkpoint's id
where no hub tells it; `stratum` counts the strata of the sample from 0."""
