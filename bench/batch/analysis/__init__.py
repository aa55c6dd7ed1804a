"""What results say: pure functions of the document."""
