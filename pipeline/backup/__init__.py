"""Backup: database and bucket at one moment -> a folder or another bucket, and back, with what is missing."""
