"""Plain, slow versions that the fast ones are held against."""
