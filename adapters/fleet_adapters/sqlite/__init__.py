"""Every store port in one SQLite file, shared by the processes of one host."""
