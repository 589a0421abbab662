"""The study of methods × axioms × domains: which method keeps which axiom, beside what the literature says."""
