"""fleet_bootstraps."""
