"""`fedmpt try`: a page in the browser that shows what a trained model says about pictures, and why.

The server answers one picture at a time and keeps nothing; pictures, thresholds and selections are the page's own.
"""
