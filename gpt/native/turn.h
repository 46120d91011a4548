// What happens to a token's q and k on the way to their product: rotary positions, then the norm.
//
// Rotary positions turn each pair of channels (d, d + D / 2) by an angle of its own; the norm
// divides a head by its root mean square. Both, or either (gpt.layers.QueryKeyTransform).
#pragma once

#include <cmath>

#include "lanes.h"

namespace gpt {

// Of one token, for each of its D / 2 pairs; null: no turn.
struct Angle {
  const bf16 *cos, *sin;
};

// Calls `use` with the two members of 16 pairs of x at a time, turned by the angle, or back by it.
template <class Use>
void turned(const bf16* x, int64_t D, Angle angle, bool back, Use use) {
  const int64_t half = D / 2;
  for (int64_t i = 0; i < half; i += LANES) {
    const __mmask16 there = first(half - i);
    const __m512 a = load(x + i, there), b = load(x + half + i, there);
    if (angle.cos == nullptr) {
      use(i, there, a, b);
      continue;
    }
    const __m512 cos = load(angle.cos + i, there), sin = load(angle.sin + i, there);
    const __m512 a_sin = _mm512_mul_ps(a, sin), b_sin = _mm512_mul_ps(b, sin);
    if (back)
      use(i, there, _mm512_fmadd_ps(a, cos, b_sin), _mm512_fmsub_ps(b, cos, a_sin));
    else
      use(i, there, _mm512_fmsub_ps(a, cos, b_sin), _mm512_fmadd_ps(b, cos, a_sin));
  }
}

// One over the root mean square of a head.
inline float rate_of(const bf16* x, int64_t D, float epsilon) {
  __m512 squares = _mm512_setzero_ps();
  for (int64_t i = 0; i < D; i += LANES) {
    const __m512 value = load(x + i, first(D - i));
    squares = _mm512_fmadd_ps(value, value, squares);
  }
  return 1.0f / std::sqrt(_mm512_reduce_add_ps(squares) / D + epsilon);
}

inline void turn(bf16* out, const bf16* x, int64_t D, Angle angle, bool norm, float epsilon) {
  const __m512 rate = _mm512_set1_ps(norm ? rate_of(x, D, epsilon) : 1.0f);
  turned(x, D, angle, false, [&](int64_t i, __mmask16 there, __m512 a, __m512 b) {
    store(out + i, _mm512_mul_ps(a, rate), there);
    store(out + D / 2 + i, _mm512_mul_ps(b, rate), there);
  });
}

// The gradient of x: a turn keeps lengths, so the norm's share is taken before the turn back.
inline void turn_backward(bf16* grad, const bf16* grad_out, const bf16* x, int64_t D, Angle angle,
                          bool norm, float epsilon) {
  const float rate = norm ? rate_of(x, D, epsilon) : 1.0f;
  __m512 dot = _mm512_setzero_ps();
  turned(grad_out, D, angle, true, [&](int64_t i, __mmask16 there, __m512 a, __m512 b) {
    dot = _mm512_fmadd_ps(a, load(x + i, there), dot);
    dot = _mm512_fmadd_ps(b, load(x + D / 2 + i, there), dot);
  });
  const float along = norm ? _mm512_reduce_add_ps(dot) * rate * rate / D : 0.0f;
  const __m512 by = _mm512_set1_ps(rate), less = _mm512_set1_ps(along);
  turned(grad_out, D, angle, true, [&](int64_t i, __mmask16 there, __m512 a, __m512 b) {
    const __m512 left = _mm512_fnmadd_ps(load(x + i, there), less, a);
    const __m512 right = _mm512_fnmadd_ps(load(x + D / 2 + i, there), less, b);
    store(grad + i, _mm512_mul_ps(left, by), there);
    store(grad + D / 2 + i, _mm512_mul_ps(right, by), there);
  });
}

}  // namespace gpt
