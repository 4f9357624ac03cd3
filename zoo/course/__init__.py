"""The applications of the course *Deep Learning Systems*, written on needle."""
