-- console/plan: how PostgreSQL would answer a user's query; it is planned, not run.
explain (format text)
{query}
