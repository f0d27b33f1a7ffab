"""mere: a small musl system, built from source by the chapters of a book.

The notebooks import their vocabulary from here; each word is a function of one of the modules beside this file.
"""
