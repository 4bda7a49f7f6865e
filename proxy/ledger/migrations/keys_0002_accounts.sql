-- Teams and organisations; a key belongs to a team, and a team to an organisation. `limits` is a JSON object as in
-- `[limits.default]`, `budgets` a JSON list of such as `[budgets.NAME]`; NULL has none. Each change of a team or an
-- organisation gives the keys below it a new revision. `version` increases with each change of the row.
CREATE TABLE orgs (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL UNIQUE,
    limits TEXT,
    budgets TEXT,
    -- The document of `/-/orgs/{id}/config`, a JSON object.
    config TEXT,
    version INTEGER NOT NULL DEFAULT 1,
    created INTEGER NOT NULL
) STRICT;
CREATE TABLE teams (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL UNIQUE,
    org TEXT REFERENCES orgs (id),
    limits TEXT,
    budgets TEXT,
    version INTEGER NOT NULL DEFAULT 1,
    created INTEGER NOT NULL
) STRICT;
CREATE INDEX teams_by_org ON teams (org) WHERE org IS NOT NULL;
ALTER TABLE keys ADD COLUMN team TEXT REFERENCES teams (id);
-- A JSON list of strings.
ALTER TABLE keys ADD COLUMN tags TEXT;
ALTER TABLE keys ADD COLUMN limits TEXT;
ALTER TABLE keys ADD COLUMN budgets TEXT;
-- A JSON object of the operator's own.
ALTER TABLE keys ADD COLUMN metadata TEXT;
ALTER TABLE keys ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
CREATE INDEX keys_by_team ON keys (team) WHERE team IS NOT NULL;

-- Prepaid credits: nano-dollars, which are only added; a negative amount corrects an earlier one. From `expires` on, what
-- is left of them is lost. A request that is repeated, with its Idempotency-Key, adds them once.
CREATE TABLE credits (
    id TEXT PRIMARY KEY NOT NULL,
    key TEXT NOT NULL REFERENCES keys (id),
    amount INTEGER NOT NULL,
    note TEXT NOT NULL DEFAULT '',
    created INTEGER NOT NULL,
    expires INTEGER,
    idempotency_key TEXT,
    UNIQUE (key, idempotency_key)
) STRICT;

-- Every change by the admin API or a command: who, what, and the object before and after it as JSON, without secrets.
-- `time` is in seconds since 1970, UTC.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    name TEXT NOT NULL,
    before TEXT,
    after TEXT
) STRICT;
CREATE INDEX audit_by_object ON audit (object, id);
