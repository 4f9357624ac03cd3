"""From a graph to a standalone C++ program: calls of the kernels with constant sizes, never loops."""
