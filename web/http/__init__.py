"""HTTP without our domain: authentication, problems, responses, request bodies, rate limit, streams."""
