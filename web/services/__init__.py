"""Use cases that the API and the pages share."""
