"""A step as a graph of operations on named values, and the passes that rewrite it."""
