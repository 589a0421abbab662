"""Choices that several rooms make where the user says nothing, as text, so that the command can print them at once."""

PICTURE_METHOD = "integrated_gradients(tol=0.05, max_evaluations=100)"  # an error of 5 % of the map is not visible
