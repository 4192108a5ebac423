"""The prompt bank: the reviewed file of conditions that the miner writes and the trainer reads."""
