"""What there is to say of a graph and of the program it becomes, as plain data, and as one page for people.

    history.py   which nodes a node came from, and which passes made it
    nodes.py     the nodes worth drawing, with what they read
    drawing.py   where they lie in a drawing
    weights.py   shapes, bytes, histograms
    costs.py     multiply-adds and bytes of each call, and the arena over time
    page.py      all of that in one HTML file
"""

from .facts import report, sizes_at
from .page import page

__all__ = ["page", "report", "sizes_at"]
