"""Resource endpoints: files, batches, stored responses and others with an id, each owned by the key that made it."""
