"""The published data sets, one file each, and tables of people's own images."""
