"""Limits and budgets as pure engines: counters in shared memory, rates, windows. What is counted, policies decide."""
