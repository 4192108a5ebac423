"""The `fedmpt` command, and what the packages share (fedmpt.common)."""
