"""The `fedmpt` command: mounts the commands of condition_miner, prompt_bank and trainer."""
