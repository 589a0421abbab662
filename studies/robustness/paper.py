"""The figure of the paper that introduced the Wavelet Attribution Method, as digitised numbers."""

# Mean share of each wavelet scale, coarse to fine, of 1,000 ImageNet images and four trainings of a ResNet (Kasmi et al. 2025).
# The shares of one training sum to 0.70–0.78: the figure does not show all of what its shares are normalised by.
SHARES = {
    "erm": (0.399, 0.188, 0.099, 0.054, 0.038),
    "pgd": (0.411, 0.178, 0.072, 0.029, 0.011),
    "fast": (0.426, 0.189, 0.085, 0.038, 0.0125),
    "free": (0.437, 0.186, 0.077, 0.034, 0.0125),
}
NAMES = {"erm": "ERM", "pgd": "ADV (Madry)", "fast": "ADV-Fast (Wong)", "free": "ADV-Free (Shafahi)"}
