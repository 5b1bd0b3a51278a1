"""The three use cases, Deliberate, Execute and Hydrate, and what carries them."""
