"""The API under /v1 and /s3: one module per resource, and the OpenAPI document."""
