"""The suite's own attention kernel in C++: causal, forward and backward, in bfloat16 on a CPU.

It is one more row beside torch's kernels (`kernel="native"`), and shows how much of their time is
due to the conversions and the passes over memory that it avoids: one head at a time stays in the
cache. It needs AVX-512's bfloat16 instructions (and uses AMX) and a C++ compiler. It is compiled
when a run or a benchmark first asks for it; where it can't be, the reason is reported.
"""
