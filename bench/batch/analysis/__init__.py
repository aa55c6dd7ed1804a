"""Analysis of results: pure functions of the document."""
