"""Blobs as files in a folder: easy to look at, to copy and to keep on a shared disk."""
