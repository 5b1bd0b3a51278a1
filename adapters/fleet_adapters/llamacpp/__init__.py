"""A real model on this machine: llama.cpp beside us, and the store of model files it reads."""
