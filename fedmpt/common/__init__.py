"""Shared by all packages: errors, files, tables, words, progress, console. It imports no other package of fedmpt."""
