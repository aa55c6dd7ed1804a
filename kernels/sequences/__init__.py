"""Operations on sequences: embedding, attention, padding, pooling."""
