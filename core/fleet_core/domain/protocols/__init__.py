"""The protocols that come with the core."""
