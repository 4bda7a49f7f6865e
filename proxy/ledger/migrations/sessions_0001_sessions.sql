-- Who has signed in to the dashboard. Of tokens there are SHA-256 digests alone; times are seconds since 1970.
CREATE TABLE sessions (
    digest BLOB PRIMARY KEY NOT NULL,
    -- The id of the key whose owner it is; NULL for an admin.
    key TEXT,
    -- What must still be valid: the digest of the key's secret as in keys.db, or the mark of the admin token.
    credential BLOB NOT NULL,
    -- For the audit table.
    actor TEXT NOT NULL,
    begun INTEGER NOT NULL,
    -- When it was last used, to a minute.
    seen INTEGER NOT NULL,
    ends INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_by_key ON sessions (key, seen);
-- Links that sign an admin in, each once.
CREATE TABLE links (
    digest BLOB PRIMARY KEY NOT NULL,
    ends INTEGER NOT NULL
) STRICT;
-- Attempts to sign in that failed, or are under way.
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    client TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX attempts_by_time ON attempts (at);
