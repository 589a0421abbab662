"""Analyses of finished attributions: best basis, boundary sensitivity, masks over prices, export to Quantus."""
