"""Read formats: from a plain text or file to rows in ``raw``, one module a format."""
