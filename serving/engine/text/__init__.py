"""Language models: text that is written token by token, for many requests at once. Knows nothing of HTTP."""
