"""Planted truth: signals whose class is carried by known atoms, networks that read them, and what finds the atoms' domain."""
