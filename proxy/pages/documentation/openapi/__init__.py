"""The OpenAPI document of what clients call: one operation for each row of the endpoint tables."""
