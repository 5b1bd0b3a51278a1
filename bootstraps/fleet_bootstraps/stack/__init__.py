"""Real servers for people without containers: each module starts one, waits for it, stops it."""
