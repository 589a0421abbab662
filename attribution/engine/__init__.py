"""How the model is run: rows, chunks, memory, number formats, random numbers and checks."""
