// What an MLP does between its two products, value and slope: ReLU, its square, GELU.
//
// GELU is x · Φ(x), with slope Φ(x) + x · φ(x). Φ and the slope are 1/2 and an odd function of x,
// which up to a limit is a parabola in each of 32 pieces of |x|, for a register chooses among 32
// numbers at once. Limit and parabolas come from the caller (gpt/native/activation.py).
#pragma once

#include <cmath>

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

// A function that is a parabola around each of 32 points from 0 to a limit, which lies half a
// piece beyond the last of them.
struct Parabolas {
  static constexpr int PIECES = 32, SIZE = 3 * PIECES;

  float rate;
  __m512 low[3], high[3];  // of the first 16 pieces and the others: constant, slope and curvature

  Parabolas(const float* table, float limit) : rate((PIECES - 0.5f) / limit) {
    for (int i = 0; i < 3; i++) {
      low[i] = _mm512_loadu_ps(table + i * PIECES);
      high[i] = _mm512_loadu_ps(table + i * PIECES + LANES);
    }
  }

  // At x in [0, limit].
  __m512 operator()(__m512 x) const {
    const __m512i piece =
        _mm512_castps_si512(_mm512_fmadd_ps(x, _mm512_set1_ps(rate), _mm512_set1_ps(ROUNDER)));
    __m512 y = _mm512_permutex2var_ps(low[2], piece, high[2]);
    y = _mm512_fmadd_ps(y, x, _mm512_permutex2var_ps(low[1], piece, high[1]));
    return _mm512_fmadd_ps(y, x, _mm512_permutex2var_ps(low[0], piece, high[0]));
  }
};

struct Gelu {
  float limit;
  Parabolas for_value, for_slope;

  explicit Gelu(const float* table)
      : limit(std::nextafter(*table, 0.0f)),
        for_value(table + 1, *table),
        for_slope(table + 1 + Parabolas::SIZE, *table) {}

  __m512 value(__m512 x) const {
    const __m512 half = _mm512_set1_ps(0.5f);
    x = _mm512_max_ps(_mm512_set1_ps(-limit), x);  // NaN stays NaN
    return _mm512_fmadd_ps(_mm512_abs_ps(x), for_value(bounded(x)), _mm512_mul_ps(x, half));
  }
  __m512 slope(__m512 x) const {
    const __m512 sign = _mm512_and_ps(x, _mm512_set1_ps(-0.0f));
    return _mm512_add_ps(_mm512_xor_ps(for_slope(bounded(x)), sign), _mm512_set1_ps(0.5f));
  }

 private:
  __m512 bounded(__m512 x) const { return _mm512_min_ps(_mm512_set1_ps(limit), _mm512_abs_ps(x)); }
};

template <class Activation>
void activate(bf16* out, const bf16* x, int64_t n, const Activation of) {
  each_vector(n,
              [&](int64_t i, auto there) { store(out + i, of.value(load(x + i, there)), there); });
}

template <class Activation>
void activate_backward(bf16* grad, const bf16* grad_out, const bf16* x, int64_t n,
                       const Activation of) {
  each_vector(n, [&](int64_t i, auto there) {
    const __m512 slope = of.slope(load(x + i, there));
    store(grad + i, _mm512_mul_ps(load(grad_out + i, there), slope), there);
  });
}

// Calls `use` with the activation of this number (gpt/native/activation.py).
template <class Use>
void with_activation(int number, const float* gelu, Use use) {
  if (number == 0) use(Relu());
  if (number == 1) use(SquaredRelu());
  if (number == 2) use(Gelu(gelu));
}

}  // namespace gpt
