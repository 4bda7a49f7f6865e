"""Tests of the demo provider."""
