"""Any server that speaks the OpenAI chat-completions protocol: vLLM, llama.cpp, hosted ones."""
