"""The study of domains: which findings about transforms repeat for other models, data and kinds of signal."""
