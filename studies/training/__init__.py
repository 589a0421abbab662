"""Small networks that are trained in seconds, and the signals that they are trained on."""
