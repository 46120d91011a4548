"""The suite's own attention kernel in C++: causal, forward and backward, in bfloat16 on a CPU.

It is one more row beside torch's kernels (`kernel="native"`), and what it shows is how much of
torch's time is due to the conversions and the passes over memory that it avoids: one head at a
time stays in the cache. It needs a processor with AVX-512's bfloat16 instructions (AMX is used
where it is there) and a C++ compiler. It is compiled when a run or a benchmark asks for this
kernel, and never before; where it can't be, the kernel is reported as absent, with the reason.
"""
