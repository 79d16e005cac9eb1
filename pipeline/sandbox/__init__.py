"""Child processes with resource limits, and the jobs that run in them on files of unknown origin."""
