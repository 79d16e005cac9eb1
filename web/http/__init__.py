"""HTTP without the domain: authentication, CSRF, problems (RFC 9457), responses, request bodies, rate limit, streams."""
