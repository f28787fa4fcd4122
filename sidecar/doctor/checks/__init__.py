"""The checks, one file each, with the causes that they can name."""
