"""Evidence from running what agents wrote, under bubblewrap."""
