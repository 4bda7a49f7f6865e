"""Things with an id at an upstream: files, stored responses, threads. Each belongs to the key that made it."""
