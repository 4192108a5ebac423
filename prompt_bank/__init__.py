"""The prompt bank: the reviewed file of conditions that passes from the miner to the trainer."""
