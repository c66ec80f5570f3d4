"""The steps between convolutions, as compiled code for CPUs where a compiler is at hand."""
