"""Step 8, notify: from the outcome of an import to a signed webhook or an e-mail, within the SSRF policy."""
