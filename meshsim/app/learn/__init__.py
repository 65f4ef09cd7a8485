"""The chapters of the Learn page: words, a question to guess at, and the engines' answer. One file each.

No number of an answer stands in a chapter: it is simulated, approximated or read from the cost book when asked for.
"""
