"""Reading a batch from the data set."""
