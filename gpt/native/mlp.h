// A block's MLP, forward and backward: expand · x, an activation, projection · that.
//
// SIDE tokens go all the way before the next ones start, so that what lies between the products
// stays in the cache: only the hidden layer before its activation is written, for the way back, in
// squares that lie as they are read.
// C channels and H hidden ones are multiples of SIDE.
#pragma once

#include "activation.h"
#include "linear.h"

namespace gpt {

struct MlpSizes {
  int64_t n, C, H;
};

// A square of sums -> the hidden layer, and the same activated.
template <class Activation>
void activate_square(bf16* active, bf16* hidden, const float* sums, const Activation of) {
  for (int64_t i = 0; i < SIDE * SIDE; i += LANES) {
    store(hidden + i, load(sums + i));
    store(active + i, of.value(load(hidden + i)));
  }
}

// The way back through that: the gradient before the activation of the one after it; the same, and
// the activated square once more, paired.
template <class Activation>
void deactivate_square(bf16* grad, bf16* grad_pairs, bf16* active_pairs, const float* grad_active,
                       const bf16* hidden, const Activation of) {
  for (int64_t r = 0; r < SIDE; r += 2)
    for (int64_t c = 0; c < SIDE; c += LANES) {
      __m512 active[2], slopes[2];
      for (int64_t i = 0; i < 2; i++) {
        const int64_t at = (r + i) * SIDE + c;
        const __m512 x = load(hidden + at);
        active[i] = of.value(x);
        slopes[i] = _mm512_mul_ps(load(grad_active + at), of.slope(x));
        store(grad + at, slopes[i]);
      }
      _mm512_storeu_si512(grad_pairs + r * SIDE + 2 * c, paired(slopes[0], slopes[1]));
      _mm512_storeu_si512(active_pairs + r * SIDE + 2 * c, paired(active[0], active[1]));
    }
}

// out, and hidden in squares (n / SIDE, H / SIDE, SIDE, SIDE), by all threads of a team; `expand`
// and `project` are laid across.
template <class Activation>
void mlp(const Tiles& tiles, bf16* out, bf16* hidden, const bf16* x, const bf16* expand,
         const bf16* project, const Activation of, const MlpSizes& s) {
  const Buffer<bf16> rows(SIDE * s.C), active(SIDE * s.H);
#pragma omp for
  for (int64_t t = 0; t < s.n; t += SIDE) {
    const int64_t here = std::min(SIDE, s.n - t);
    copy_padded(rows.begin(), SIDE, x + t * s.C, s.C, here, s.C);
    const auto activated = [&](int64_t h, const float* sums) {
      activate_square(active.begin() + h * SIDE, hidden + t * s.H + h * SIDE, sums, of);
    };
    each_square(tiles, {rows.begin(), s.C}, expand, s.H, s.C, activated);
    const auto written = [&](int64_t c, const float* sums) {
      write_square(out + t * s.C + c, s.C, sums, here);
    };
    each_square(tiles, {active.begin(), SIDE, SIDE}, project, s.C, s.H, written);
  }
}

// A piece of tokens as products over tokens read it, and the sums of those products.
struct MlpWorkspace {
  Buffer<bf16> g_across, x_across, slope_pairs, active_pairs;
  Buffer<float> to_expand, to_project;

  explicit MlpWorkspace(const MlpSizes& s)
      : g_across(TOKENS * s.C),
        x_across(TOKENS * s.C),
        slope_pairs(TOKENS * s.H),
        active_pairs(TOKENS * s.H),
        to_expand(s.H * s.C),
        to_project(s.C * s.H) {}
};

// The gradient of x, and the sums of those of both matrices, the first one's transposed; `expand`
// and `project` are laid along.
template <class Activation>
void mlp_backward(const Tiles& tiles, const MlpWorkspace& work, bf16* grad_x, const bf16* grad_out,
                  const bf16* x, const bf16* hidden, const bf16* expand, const bf16* project,
                  const Activation of, const MlpSizes& s) {
  const Buffer<bf16> rows(SIDE * s.C), slopes(SIDE * s.H);
  for (int64_t start = 0; start < s.n; start += TOKENS) {
    const int64_t K = round_up(std::min(TOKENS, s.n - start));
#pragma omp for
    for (int64_t r = 0; r < K; r += SIDE) {
      const int64_t t = start + r, here = std::min(SIDE, s.n - t);
      const bf16* g = grad_out + t * s.C;
      copy_padded(rows.begin(), SIDE, g, s.C, here, s.C);
      block_transposed(work.g_across.begin() + r * SIDE, K, g, s.C, here, s.C);
      block_transposed(work.x_across.begin() + r * SIDE, K, x + t * s.C, s.C, here, s.C);
      const auto deactivated = [&](int64_t h, const float* sums) {
        const int64_t at = h * K + r * SIDE;
        deactivate_square(slopes.begin() + h * SIDE, work.slope_pairs.begin() + at,
                          work.active_pairs.begin() + at, sums, hidden + t * s.H + h * SIDE, of);
      };
      each_square(tiles, {rows.begin(), s.C}, project, s.H, s.C, deactivated);
      const auto written = [&](int64_t c, const float* sums) {
        write_square(grad_x + t * s.C + c, s.C, sums, here);
      };
      each_square(tiles, {slopes.begin(), SIDE, SIDE}, expand, s.C, s.H, written);
    }
    add_products(tiles, work.to_expand.begin(), work.x_across.begin(), work.slope_pairs.begin(),
                 s.C, s.H, K, start > 0);
    add_products(tiles, work.to_project.begin(), work.g_across.begin(), work.active_pairs.begin(),
                 s.C, s.H, K, start > 0);
  }
}

}  // namespace gpt
