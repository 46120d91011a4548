"""Timing on this machine: alternating measurements, and ceilings that none may exceed."""
