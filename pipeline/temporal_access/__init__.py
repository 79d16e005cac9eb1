"""The variables ``TEMPORAL_*`` -> a connection to Temporal (TLS, API key, encryption), for all processes and the Lambda."""
