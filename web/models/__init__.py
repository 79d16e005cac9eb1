"""Define the requests and responses of the API as pydantic models, by subject; they also make /openapi.json."""

from web.models import admin, common, findings, imports, records, uploads

SUBJECTS = (admin, common, findings, imports, records, uploads)
"""The modules that define models, among which a model is found by its name."""
