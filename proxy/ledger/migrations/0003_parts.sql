-- Rare fields of `UsageRecord`, under the same names. Costs are nano-dollars.
ALTER TABLE requests ADD COLUMN requested_model TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN cache_write_1h_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN audio_input_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN audio_output_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN image_input_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN image_output_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN searches INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN tool_calls INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN advisor_input_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN advisor_output_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN service_tier TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN provider_cost INTEGER;
ALTER TABLE requests ADD COLUMN unpriced_parts TEXT NOT NULL DEFAULT '';
