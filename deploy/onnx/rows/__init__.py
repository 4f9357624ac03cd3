"""The rows of the table of operators, by family: what each operator is in ops, and how ops are written as it."""
