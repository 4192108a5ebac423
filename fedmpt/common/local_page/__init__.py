"""A page in the browser that is served on this machine only: access control, the server, and what its pages share.

A page of a package has a folder with `pages/page.html.j2` (it extends `layout.html.j2`) and `static/page.js`; both find
the files here beside their own.
"""
