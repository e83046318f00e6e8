"""Tests over real associations on loopback ports."""
