"""The ops by family; `tests/cases.py` collects them."""
