"""The GPT, in plain torch: nothing here asks about processors, compilers or graphs."""
