-- console/plan_json: the same as console_plan for a program, with the schema of each table that would be read.
explain (verbose, format json)
{query}
