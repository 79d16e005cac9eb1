"""Open containers: from a compressed or packed file to the plain file within it, in bounded memory and disk."""
