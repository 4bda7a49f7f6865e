-- What the attempts of a request were, where there was more than one, or it failed: a field of `UsageRecord`.
ALTER TABLE requests ADD COLUMN tries TEXT NOT NULL DEFAULT '';
-- The requests of one key, and those that failed, newest first.
CREATE INDEX requests_by_key ON requests (key, started);
CREATE INDEX requests_failed ON requests (started, status, outcome) WHERE outcome <> 'complete' OR status >= 400;

-- The sums of each view: by some of the dimensions, the others empty. See rollups.py. Of the sums from before the model
-- of the target is not known: it is empty.
ALTER TABLE rollups RENAME TO rollups_before;
CREATE TABLE rollups (
    view INTEGER NOT NULL,
    grain INTEGER NOT NULL,
    start INTEGER NOT NULL,
    key TEXT NOT NULL,
    alias TEXT NOT NULL,
    team TEXT NOT NULL,
    org TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    upstream TEXT NOT NULL,
    upstream_model TEXT NOT NULL,
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
    PRIMARY KEY (view, grain, start, key, alias, team, org, endpoint, upstream, upstream_model)
) STRICT, WITHOUT ROWID;
INSERT INTO rollups
    SELECT 6, grain, start, key, alias, team, org, endpoint, upstream, '', requests, errors, input_tokens,
        cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, audio_milliseconds, images, cost,
        unpriced, target_cost, uncosted, margin, estimated, answered, ttft, total, overhead,
        repack_histogram(ttft_histogram), repack_histogram(total_histogram), repack_histogram(overhead_histogram)
    FROM rollups_before;
DROP TABLE rollups_before;
INSERT INTO rollups
    SELECT 5, grain, start, '', alias, team, org, endpoint, upstream, upstream_model, sum(requests),
        sum(errors), sum(input_tokens), sum(cached_input_tokens), sum(cache_write_tokens), sum(output_tokens),
        sum(reasoning_tokens), sum(audio_milliseconds), sum(images), sum(cost), sum(unpriced), sum(target_cost),
        sum(uncosted), sum(margin), sum(estimated), sum(answered), sum(ttft), sum(total), sum(overhead),
        sum_histograms(ttft_histogram), sum_histograms(total_histogram), sum_histograms(overhead_histogram)
    FROM rollups WHERE view = 6
    GROUP BY grain, start, alias, team, org, endpoint, upstream, upstream_model;
INSERT INTO rollups
    SELECT 4, grain, start, key, '', '', '', '', '', '', sum(requests), sum(errors), sum(input_tokens),
        sum(cached_input_tokens), sum(cache_write_tokens), sum(output_tokens), sum(reasoning_tokens),
        sum(audio_milliseconds), sum(images), sum(cost), sum(unpriced), sum(target_cost), sum(uncosted),
        sum(margin), sum(estimated), sum(answered), sum(ttft), sum(total), sum(overhead),
        sum_histograms(ttft_histogram), sum_histograms(total_histogram), sum_histograms(overhead_histogram)
    FROM rollups WHERE view = 6
    GROUP BY grain, start, key;
INSERT INTO rollups
    SELECT 3, grain, start, '', '', team, org, '', '', '', sum(requests), sum(errors), sum(input_tokens),
        sum(cached_input_tokens), sum(cache_write_tokens), sum(output_tokens), sum(reasoning_tokens),
        sum(audio_milliseconds), sum(images), sum(cost), sum(unpriced), sum(target_cost), sum(uncosted),
        sum(margin), sum(estimated), sum(answered), sum(ttft), sum(total), sum(overhead),
        sum_histograms(ttft_histogram), sum_histograms(total_histogram), sum_histograms(overhead_histogram)
    FROM rollups WHERE view = 5
    GROUP BY grain, start, team, org;
INSERT INTO rollups
    SELECT 2, grain, start, '', '', '', '', '', upstream, upstream_model, sum(requests), sum(errors),
        sum(input_tokens), sum(cached_input_tokens), sum(cache_write_tokens), sum(output_tokens),
        sum(reasoning_tokens), sum(audio_milliseconds), sum(images), sum(cost), sum(unpriced), sum(target_cost),
        sum(uncosted), sum(margin), sum(estimated), sum(answered), sum(ttft), sum(total), sum(overhead),
        sum_histograms(ttft_histogram), sum_histograms(total_histogram), sum_histograms(overhead_histogram)
    FROM rollups WHERE view = 5
    GROUP BY grain, start, upstream, upstream_model;
INSERT INTO rollups
    SELECT 1, grain, start, '', alias, '', '', '', '', '', sum(requests), sum(errors), sum(input_tokens),
        sum(cached_input_tokens), sum(cache_write_tokens), sum(output_tokens), sum(reasoning_tokens),
        sum(audio_milliseconds), sum(images), sum(cost), sum(unpriced), sum(target_cost), sum(uncosted),
        sum(margin), sum(estimated), sum(answered), sum(ttft), sum(total), sum(overhead),
        sum_histograms(ttft_histogram), sum_histograms(total_histogram), sum_histograms(overhead_histogram)
    FROM rollups WHERE view = 5
    GROUP BY grain, start, alias;
INSERT INTO rollups
    SELECT 0, grain, start, '', '', '', '', endpoint, '', '', sum(requests), sum(errors), sum(input_tokens),
        sum(cached_input_tokens), sum(cache_write_tokens), sum(output_tokens), sum(reasoning_tokens),
        sum(audio_milliseconds), sum(images), sum(cost), sum(unpriced), sum(target_cost), sum(uncosted),
        sum(margin), sum(estimated), sum(answered), sum(ttft), sum(total), sum(overhead),
        sum_histograms(ttft_histogram), sum_histograms(total_histogram), sum_histograms(overhead_histogram)
    FROM rollups WHERE view = 5
    GROUP BY grain, start, endpoint;
