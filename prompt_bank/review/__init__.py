"""`fedmpt bank review`: a page in the browser on which a person reads, edits and decides about a bank.

The page holds a list of operations; everything that an operation does, and whether it may, is said here, in Python.
"""
