"""The ports: what the core asks of the outside, one short protocol a file, domain types only."""
