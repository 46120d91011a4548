// GELU, x · Φ(x), and its slope Φ(x) + x · φ(x).
//
// Both are 1/2 and an odd function of x, which between ±LIMIT is x times a polynomial of x²; its
// coefficients come from the caller (gpt/native/gelu.py). Further out they are 0 or 1.
#pragma once

#include "lanes.h"

namespace gpt {

constexpr float LIMIT = 5.0f;
constexpr int DEGREE = 11;

// NaN stays NaN: where either is one, min and max give their second argument.
inline __m512 at_least(float least, __m512 x) { return _mm512_max_ps(_mm512_set1_ps(least), x); }
inline __m512 at_most(float most, __m512 x) { return _mm512_min_ps(_mm512_set1_ps(most), x); }

inline __m512 half_plus_odd(__m512 x, const float* coefficients) {
  const __m512 inner = at_most(LIMIT, at_least(-LIMIT, x));
  const __m512 u = _mm512_fmsub_ps(_mm512_mul_ps(inner, inner),
                                   _mm512_set1_ps(2 / (LIMIT * LIMIT)), _mm512_set1_ps(1.0f));
  __m512 y = _mm512_set1_ps(coefficients[DEGREE]);
  for (int i = DEGREE - 1; i >= 0; i--) y = _mm512_fmadd_ps(y, u, _mm512_set1_ps(coefficients[i]));
  return _mm512_fmadd_ps(inner, y, _mm512_set1_ps(0.5f));
}

inline void gelu(bf16* out, const bf16* x, int64_t n, const float* coefficients) {
  for (int64_t i = 0; i < n; i += LANES) {
    const __m512 z = load(x + i, first(n - i));
    const __m512 y = _mm512_mul_ps(at_least(-LIMIT, z), half_plus_odd(z, coefficients));
    store(out + i, y, first(n - i));
  }
}

inline void gelu_backward(bf16* grad, const bf16* grad_out, const bf16* x, int64_t n,
                          const float* coefficients) {
  for (int64_t i = 0; i < n; i += LANES) {
    const __m512 slope = half_plus_odd(load(x + i, first(n - i)), coefficients);
    store(grad + i, _mm512_mul_ps(load(grad_out + i, first(n - i)), slope), first(n - i));
  }
}

}  // namespace gpt
