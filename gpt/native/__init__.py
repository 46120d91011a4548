"""Kernels in C++ for what torch does slowly on a CPU in bfloat16.

Attention, norms, MLPs and linear maps, the head's cross-entropy, and the update of the weights:
torch turns each bfloat16 into a float32 and back by a dozen instructions where the processor has
one, and walks through memory once for each operation. Here a head, a row or a strip of tokens is
done with in one go while it is in the cache, and a whole block is one call (docs/speed-log.md has
what that is worth). Without tiles (AMX) a processor multiplies bytes twice as fast as bfloat16, so
there are products in int8 too (`gpt.precision`).

They need a processor with AVX-512's bfloat16 instructions, by tiles where it has those too, and a
C++ compiler, by which they are compiled once for a machine. Without either they are absent,
which is said wherever they were asked for, and all else works as before.
"""

from gpt.native.library import absence

__all__ = ["absence"]
