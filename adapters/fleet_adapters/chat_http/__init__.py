"""The chat-completions wire protocol over aiohttp.

Not an adapter: the shared client of the adapters `openai` and `llamacpp`, which may not import
each other. Beside the scripted server it is the only place where aiohttp is imported.
"""
