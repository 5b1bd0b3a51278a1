"""The domain core of SWE AI Fleet: deliberate, hydrate and execute against abstract ports.

Standard library only; nothing here knows a driver, a transport or a file format but JSON.
"""

__version__ = "0.1.0"
