"""Operations that read a batch from the data set."""
