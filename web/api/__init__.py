"""The API under /v1: one module a resource, and its OpenAPI description."""
