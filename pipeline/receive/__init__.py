"""Step 1, receive: from an upload or an object in S3 to an import in the ledger, queued exactly once."""
