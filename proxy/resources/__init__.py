"""Endpoints for things with an id (files, batches, stored responses), each owned by the key that made it."""
