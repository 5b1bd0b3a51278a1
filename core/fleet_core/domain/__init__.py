"""Pure domain: frozen dataclasses and functions over them. No clock, no randomness, no I/O."""
