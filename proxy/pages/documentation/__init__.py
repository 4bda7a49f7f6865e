"""What clients and agents read: the docs page with its twins, and the OpenAPI documents."""
