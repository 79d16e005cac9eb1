"""Step 4, validate: from staged records to findings.

Great Expectations suites, SQL checks, missing parents, cycles, tree limits and quarantine.
"""
