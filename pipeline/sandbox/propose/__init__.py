"""A file -> the definition of a dataset that fits it, and what each choice in a definition would refuse in that file."""
