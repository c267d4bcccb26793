"""Whole fax calls in one process under a virtual clock."""
