"""Requests that are answered later, in files: OpenAI's Batch API, vllm run-batch."""
