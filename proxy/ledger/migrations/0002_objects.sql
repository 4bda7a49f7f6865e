-- The owner and the upstream of each object: the fields of `OwnershipRecord`. Ids are those of the upstream.
CREATE TABLE objects (
    id TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    upstream TEXT NOT NULL,
    created INTEGER NOT NULL,
    alias TEXT NOT NULL,
    model TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX objects_by_key ON objects (key, kind);
