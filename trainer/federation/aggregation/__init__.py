"""How the server makes one state out of its clients': a rule is a function in a file of this folder."""
