-- One row for each request: the fields of `UsageRecord`, under the same names. Times are microseconds, costs nano-dollars.
CREATE TABLE requests (
    id TEXT PRIMARY KEY NOT NULL,
    started INTEGER NOT NULL,
    key TEXT NOT NULL,
    alias TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    upstream TEXT NOT NULL,
    upstream_model TEXT NOT NULL,
    stream INTEGER NOT NULL,
    status INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    audio_milliseconds INTEGER NOT NULL,
    images INTEGER NOT NULL,
    usage_source TEXT NOT NULL,
    cost INTEGER,
    ttft INTEGER,
    total INTEGER NOT NULL,
    overhead INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL,
    text_in INTEGER NOT NULL,
    text_out INTEGER NOT NULL,
    error_code TEXT
) STRICT;
CREATE INDEX requests_by_time ON requests (started, id);

-- The last attempt of requests that are not settled, so that a segment can be removed before a long request ends.
CREATE TABLE opens (
    id TEXT PRIMARY KEY NOT NULL,
    owner TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    record BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX opens_by_owner ON opens (owner);

-- Bytes of each journal segment that are ingested: updated in the transaction that stores the records.
CREATE TABLE segments (
    name TEXT PRIMARY KEY NOT NULL,
    offset INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Sums over an hour (grain 3600) or a day (grain 86400), of one key and alias; start is in seconds since 1970, UTC.
-- Histograms are packed integers, see rollups.py.
CREATE TABLE rollups (
    grain INTEGER NOT NULL,
    start INTEGER NOT NULL,
    key TEXT NOT NULL,
    alias TEXT NOT NULL,
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
    estimated INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    ttft INTEGER NOT NULL,
    total INTEGER NOT NULL,
    overhead INTEGER NOT NULL,
    ttft_histogram BLOB NOT NULL,
    total_histogram BLOB NOT NULL,
    overhead_histogram BLOB NOT NULL,
    PRIMARY KEY (grain, start, key, alias)
) STRICT, WITHOUT ROWID;
