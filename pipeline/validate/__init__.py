"""Step 4, validate: from staged records and the warehouse's edges to findings and a verdict.

Great Expectations suites, SQL checks, missing parents, cycles, tree limits and quarantine.
"""
