"""Asking many questions: cache look-up, retries and back-off, concurrency limit, token budget, Ctrl-C."""
