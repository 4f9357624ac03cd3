"""Random and hostile calls of needle's Python surface: `make fuzz`. See `__main__.py`."""
