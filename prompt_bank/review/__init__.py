"""`fedmpt bank review`: a page in the browser for reading, editing and accepting conditions.

The page only keeps a list of operations; they are validated and applied here, on the server.
"""
