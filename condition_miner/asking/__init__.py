"""Many requests at once: attempts and back-off, pace, token budget, worker threads, Ctrl-C."""
