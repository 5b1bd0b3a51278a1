"""Live progress of a run: a pure view of its state, and two ways of showing it."""
