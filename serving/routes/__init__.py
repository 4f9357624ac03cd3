"""Routes: read, call, answer. Each file has a table of them; the app and its OpenAPI description are made from it."""
