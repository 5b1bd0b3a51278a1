"""Small pieces that several adapters of one port need; no driver among them."""
