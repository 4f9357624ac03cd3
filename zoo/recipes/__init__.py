"""How the models are trained, a file for each recipe."""
