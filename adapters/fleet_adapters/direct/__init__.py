"""The `direct` executor and hydrator: the use cases themselves, in this process."""
