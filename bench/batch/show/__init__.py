"""Shows results: tables, plots, a page."""
