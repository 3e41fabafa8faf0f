"""Envoy's ext_authz over HTTP: a request to a `CheckRequest`, a `Decision` to a response."""
