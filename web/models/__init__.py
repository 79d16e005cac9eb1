"""Define the requests and responses of the API as pydantic models, by subject; they also make /openapi.json."""

from web.models import admin, audit_log, audits, common, database_logins, findings, imports, patches, records, uploads

SUBJECTS = (admin, audit_log, audits, common, database_logins, findings, imports, patches, records, uploads)
"""The modules that define models, among which a model is found by its name."""
