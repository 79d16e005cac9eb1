"""The columns of a file, by name and by content -> what they probably are, and which dataset they fit.

Suggestions only: an import maps what its upload says.
"""
