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
CREATE INDEX requests_refused ON requests (started, status) WHERE outcome = 'refused';

-- The sums, by team, organisation, endpoint and upstream too, and with what targets cost. Those from before have none of
-- these: empty, and of unknown cost.
ALTER TABLE rollups RENAME TO rollups_before;
CREATE TABLE rollups (
    grain INTEGER NOT NULL,
    start INTEGER NOT NULL,
    key TEXT NOT NULL,
    alias TEXT NOT NULL,
    team TEXT NOT NULL,
    org TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    upstream TEXT NOT NULL,
    requests INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    audio_milliseconds INTEGER NOT NULL,
    images INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    target_cost INTEGER NOT NULL,
    uncosted INTEGER NOT NULL,
    margin INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    ttft INTEGER NOT NULL,
    total INTEGER NOT NULL,
    overhead INTEGER NOT NULL,
    ttft_histogram BLOB NOT NULL,
    total_histogram BLOB NOT NULL,
    overhead_histogram BLOB NOT NULL,
    PRIMARY KEY (grain, start, key, alias, team, org, endpoint, upstream)
) STRICT, WITHOUT ROWID;
INSERT INTO rollups
    SELECT grain, start, key, alias, '', '', '', '', requests, errors, input_tokens, cached_input_tokens,
        cache_write_tokens, output_tokens, reasoning_tokens, audio_milliseconds, images, cost, unpriced, 0, requests, 0,
        estimated, answered, ttft, total, overhead, ttft_histogram, total_histogram, overhead_histogram
    FROM rollups_before;
DROP TABLE rollups_before;
