"""The study of volumes: which scales of a model's importance lie at the surface of an object, and which inside it."""
