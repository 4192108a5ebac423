"""Label names and co-occurrence from the files in which people keep them."""
