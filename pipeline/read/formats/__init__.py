"""Parse formats: from a plain file to raw rows, one module a format."""
