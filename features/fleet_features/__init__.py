"""fleet_features."""
