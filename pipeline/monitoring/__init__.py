"""The state of ledger, servers, disk and certificates -> metrics; files that do not arrive -> messages to recipients."""
