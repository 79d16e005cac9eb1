"""The embedded stack: the production parts as processes of one machine, for trying, developing and testing."""
