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

// An odd function that is a parabola between each two of 33 points from 0 to a limit.
struct Parabolas {
  static constexpr int PIECES = 32, SIZE = 3 * PIECES;

  __m512 low[3], high[3];  // of the first 16 pieces and the others: constant, slope and curvature

  explicit Parabolas(const float* table) {
    for (int i = 0; i < 3; i++) {
      low[i] = _mm512_loadu_ps(table + i * PIECES);
      high[i] = _mm512_loadu_ps(table + i * PIECES + LANES);
    }
  }

  // At x, which lies `t` in [0, 1) within a piece.
  __m512 operator()(__m512 x, __m512i piece, __m512 t) const {
    __m512 y = _mm512_permutex2var_ps(low[2], piece, high[2]);
    y = _mm512_fmadd_ps(y, t, _mm512_permutex2var_ps(low[1], piece, high[1]));
    y = _mm512_fmadd_ps(y, t, _mm512_permutex2var_ps(low[0], piece, high[0]));
    const __m512 sign = _mm512_set1_ps(-0.0f);
    return _mm512_xor_ps(y, _mm512_and_ps(x, sign));
  }
};

struct Gelu {
  float limit;
  Parabolas for_value, for_slope;

  explicit Gelu(const float* table)
      : limit(*table), for_value(table + 1), for_slope(table + 1 + Parabolas::SIZE) {}

  __m512 value(__m512 x) const {
    const __m512 bounded = _mm512_max_ps(_mm512_set1_ps(-limit), x);  // NaN stays NaN
    return _mm512_mul_ps(bounded, half_plus(for_value, x));
  }
  __m512 slope(__m512 x) const { return half_plus(for_slope, x); }

 private:
  __m512 half_plus(const Parabolas& odd, __m512 x) const {
    const float pieces = Parabolas::PIECES;
    const __m512 most = _mm512_set1_ps(std::nextafter(pieces, 0.0f));
    const __m512 place =
        _mm512_min_ps(most, _mm512_mul_ps(_mm512_abs_ps(x), _mm512_set1_ps(pieces / limit)));
    const __m512i piece = _mm512_cvttps_epi32(place);
    const __m512 t = _mm512_sub_ps(place, _mm512_cvtepi32_ps(piece));
    return _mm512_add_ps(odd(x, piece, t), _mm512_set1_ps(0.5f));
  }
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
