"""The embedded stack: a home folder goes in, all production components run as processes of this machine; serves every step."""
