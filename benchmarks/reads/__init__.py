"""What the pages of the API ask of a large table: without other work, beside a load, and without an index."""
