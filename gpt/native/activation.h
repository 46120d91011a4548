// What an MLP does between its two products, value and slope: ReLU, its square, GELU.
//
// GELU is x · Φ(x), with slope Φ(x) + x · φ(x). Φ and the slope are 1/2 and an odd function of x,
// which between ±LIMIT is x times a polynomial of x²; its coefficients come from the caller
// (gpt/native/activation.py). Further out they are 0 or 1.
#pragma once

#include "lanes.h"

namespace gpt {

struct Relu {
  __m512 value(__m512 x) const { return _mm512_max_ps(_mm512_setzero_ps(), x); }
  __m512 slope(__m512 x) const {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ),
                               _mm512_set1_ps(1.0f));
  }
};

struct SquaredRelu {
  __m512 value(__m512 x) const { return _mm512_mul_ps(Relu().value(x), Relu().value(x)); }
  __m512 slope(__m512 x) const { return _mm512_add_ps(Relu().value(x), Relu().value(x)); }
};

struct Gelu {
  static constexpr float LIMIT = 5.0f;
  static constexpr int TERMS = 12;

  const float *for_value, *for_slope;

  __m512 value(__m512 x) const {
    return _mm512_mul_ps(at_least(-LIMIT, x), half_plus_odd(x, for_value));
  }
  __m512 slope(__m512 x) const { return half_plus_odd(x, for_slope); }

 private:
  // NaN stays NaN: where either is one, min and max give their second argument.
  static __m512 at_least(float least, __m512 x) { return _mm512_max_ps(_mm512_set1_ps(least), x); }
  static __m512 at_most(float most, __m512 x) { return _mm512_min_ps(_mm512_set1_ps(most), x); }

  static __m512 half_plus_odd(__m512 x, const float* terms) {
    const __m512 inner = at_most(LIMIT, at_least(-LIMIT, x));
    const __m512 u = _mm512_fmsub_ps(_mm512_mul_ps(inner, inner),
                                     _mm512_set1_ps(2 / (LIMIT * LIMIT)), _mm512_set1_ps(1.0f));
    __m512 y = _mm512_set1_ps(terms[TERMS - 1]);
    for (int i = TERMS - 2; i >= 0; i--) y = _mm512_fmadd_ps(y, u, _mm512_set1_ps(terms[i]));
    return _mm512_fmadd_ps(inner, y, _mm512_set1_ps(0.5f));
  }
};

template <class Activation>
void activate(bf16* out, const bf16* x, int64_t n, const Activation of) {
  for (int64_t i = 0; i < n; i += LANES)
    store(out + i, of.value(load(x + i, first(n - i))), first(n - i));
}

template <class Activation>
void activate_backward(bf16* grad, const bf16* grad_out, const bf16* x, int64_t n,
                       const Activation of) {
  for (int64_t i = 0; i < n; i += LANES) {
    const __m512 slope = of.slope(load(x + i, first(n - i)));
    store(grad + i, _mm512_mul_ps(load(grad_out + i, first(n - i)), slope), first(n - i));
  }
}

// Calls `use` with the activation of this number (gpt/native/activation.py).
template <class Use>
void with_activation(int number, const float* terms, Use use) {
  if (number == 0) use(Relu());
  if (number == 1) use(SquaredRelu());
  if (number == 2) use(Gelu{terms, terms + Gelu::TERMS});
}

}  // namespace gpt
