"""Use cases that the API and the pages share: uploads, actions on imports, API keys, recipients, findings."""
