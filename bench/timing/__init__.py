"""How fast is something here? Timing ways in turn, and the ceilings that no timing may exceed."""
