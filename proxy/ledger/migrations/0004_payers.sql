-- Who pays, and what a target costs: fields of `UsageRecord`, under the same names.
ALTER TABLE requests ADD COLUMN team TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN org TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN session TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN user TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN metadata TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN target_cost INTEGER;
ALTER TABLE requests ADD COLUMN reserved INTEGER;
-- What budgets sum up, which the rollups do not have.
CREATE INDEX requests_by_team ON requests (team, started, alias, cost, reserved) WHERE team <> '';
CREATE INDEX requests_by_org ON requests (org, started, alias, cost, reserved) WHERE org <> '';
CREATE INDEX requests_counted ON requests (started) WHERE reserved IS NOT NULL;
CREATE INDEX requests_by_session ON requests (session, started) WHERE session <> '';
CREATE INDEX requests_by_user ON requests (user, started) WHERE user <> '';
