"""Step 6, prepare: from accepted records to parts of 100-200-record batches in Parquet, parents first, with a manifest."""
