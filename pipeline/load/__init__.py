"""Step 7, load: from one part to rows in the warehouse, idempotently, in one transaction with its ledger row."""
