"""The steps of the features, by what they speak of."""
