"""What to do about a connection to PostgreSQL that fails: libpq gives no code for it, only a sentence in English."""

from __future__ import annotations

import re

_PIECES = (
    (
        r"certificate for .+ does not match host name",
        "The server's certificate is for another host. Use the name that it has in the URL, or give the server a certificate"
        " for this one; sslmode=verify-ca would accept any host with a certificate of that authority.",
    ),
    (
        r"certificate verify failed",
        "The server's certificate has expired, or is not from an authority in the file of sslrootcert (sslrootcert=system:"
        " those of this machine). Renew it, or name the right authority in the URL.",
    ),
    (
        r"root certificate file .+ does not exist",
        "Set sslrootcert in the URL to the file with the authority's certificate, or to system.",
    ),
    (
        r"server does not support SSL",
        "The URL demands TLS. Switch it on in the server (ssl = on); sslmode=prefer would go without it.",
    ),
    (
        r"private key file .+ (has group or world access|must be owned)",
        "The file of sslkey must be readable for the process's user only: chmod 600.",
    ),
    (
        r"(could not (read|open|load)|present, but not) .*(certificate|private key) file|certificate file .+ does not exist",
        "Check sslcert and sslkey in the URL: both files must be there and belong together.",
    ),
    (
        r"requires a valid client certificate|certificate authentication failed|alert (unknown ca|bad certificate|certificate)",
        "The server wants a client certificate of an authority that it knows, for this user: check sslcert and sslkey in the"
        " URL.",
    ),
    (
        r"no pg_hba\.conf entry .+no encryption",
        "The server lets no client in without TLS. Add sslmode=verify-full and sslrootcert to the URL.",
    ),
    (r"no pg_hba\.conf entry", "The server's pg_hba.conf has no line for this user, database and address."),
    (
        r"(password|PAM|SASL) authentication failed|no password supplied|password retrieved from file",
        "Check the user and the password in the URL; with BULKHEAD_DATABASE_IAM=aws, that the user has rds_iam and the process"
        " rds-db:connect.",
    ),
    (r'database ".+" does not exist', "Check the name of the database in the URL."),
    (
        r"Connection refused|timeout expired|timed out|could not translate host name|Name or service not|No route to host",
        "Check that the server runs, and the host and port in the URL.",
    ),
)
_ADVICE = tuple((re.compile(pattern, re.IGNORECASE), advice) for pattern, advice in _PIECES)


def advice_for(said: str) -> str:
    """Return what to do about what libpq said; empty if it is nothing known."""
    return next((advice for pattern, advice in _ADVICE if pattern.search(said)), "")
