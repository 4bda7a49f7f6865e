"""Endpoints for things with an id (files, batches, stored responses, assistants), each owned by the key that made it."""
