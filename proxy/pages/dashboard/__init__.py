"""The dashboard: usage, keys, models, requests and budgets, for admins and for the owners of keys."""
