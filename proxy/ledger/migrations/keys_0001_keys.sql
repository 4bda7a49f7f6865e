-- `revision` increases with each change of a key, so that a reader can select what changed since its last read.
CREATE TABLE keys (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    -- A JSON list of aliases; NULL allows all of them.
    models TEXT,
    created INTEGER NOT NULL,
    expires INTEGER,
    revoked INTEGER,
    revision INTEGER NOT NULL UNIQUE
) STRICT;
CREATE UNIQUE INDEX keys_by_live_name ON keys (name) WHERE revoked IS NULL;

-- A key has one secret, and during the grace period of a rotation its older ones. Only SHA-256 digests are stored.
CREATE TABLE secrets (
    digest BLOB PRIMARY KEY NOT NULL,
    key TEXT NOT NULL REFERENCES keys (id),
    hint TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX secrets_by_key ON secrets (key);
