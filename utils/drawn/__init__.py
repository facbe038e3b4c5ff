"""Digits and faces that the package draws, with known factors, and CelebA in the same form."""
