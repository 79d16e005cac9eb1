"""The documents as a site: what mkdocs needs beside docs/ (``make docs``). Not part of the application."""
