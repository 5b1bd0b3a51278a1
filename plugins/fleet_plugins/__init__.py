"""The plugin door: how an adapter, ours or a stranger's, comes into the fleet."""
