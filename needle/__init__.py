"""needle: a complete small deep-learning library."""
