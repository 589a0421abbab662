"""Measurements that run by themselves, and the writers of the pages."""
