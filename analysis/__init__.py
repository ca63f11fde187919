"""Errata's library: everything the pages can do, without the pages."""
