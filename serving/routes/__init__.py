"""Routes: read, call, answer. Each file has a table of them, from which the app and its OpenAPI description are made."""
