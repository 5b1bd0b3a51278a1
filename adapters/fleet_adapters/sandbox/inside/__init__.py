"""What runs inside the sandbox, with the standard library alone.

The host hands these modules to a bare interpreter as text (see `program.py`), so they import
nothing but each other and the standard library, and load nothing that costs start-up time.
"""
