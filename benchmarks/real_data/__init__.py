"""Hierarchies that people really have: fetched from packages at run time, and written as the files that people would upload."""
