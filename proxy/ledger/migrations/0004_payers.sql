-- Who pays, and what a target costs: fields of `UsageRecord`, under the same names.
ALTER TABLE requests ADD COLUMN team TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN org TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN session TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN user TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN metadata TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN target_cost INTEGER;
CREATE INDEX requests_by_session ON requests (session, started) WHERE session <> '';
CREATE INDEX requests_by_user ON requests (user, started) WHERE user <> '';
