"""Requests and answers of the API as pydantic models, by subject."""

from web.models import admin, common, findings, imports, records, uploads

SUBJECTS = (admin, common, findings, imports, records, uploads)
"""The modules that have models, for those who look for a model by its fields."""
