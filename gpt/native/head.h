// The head and its loss: logits x Wᵀ, their cross-entropy, and the gradients of x and W.
//
// TOKENS at a time go all the way, so that their logits stay near: they become powers of two where
// they lie, and are multiplied both ways. The powers are not divided by their sum, as softmax is;
// tokens are, for they are fewer: grad x = f (u W) and grad W = uᵀ (f x), with u the powers, less
// their sum at the target, and f a token's weight by that sum.
// C channels are a multiple of SIDE; a vocabulary of V is filled up to one with logits that weigh
// nothing.
#pragma once

#include <cmath>

#include "linear.h"

namespace gpt {

struct HeadSizes {
  int64_t n, C, V;

  int64_t width() const { return round_up(V); }
};

// A logit that weighs nothing; an infinite one would make what is not a number of it.
constexpr float NOTHING = -1e30f;

// The logits of a piece lie in strips of SIDE columns, each a row longer than it need be: else all
// that is one token's would meet in the same lines of the cache.
constexpr int64_t STRIP = (TOKENS + 1) * SIDE;

// Of the vocabulary, what the gradient of x is summed over at once, so that it fits the first
// cache.
constexpr int64_t DEPTH = 256;

// What a piece of tokens needs, and what is kept from piece to piece: W both ways, and the sums of
// its gradient.
struct HeadWorkspace {
  Buffer<bf16> across, along, x, x_across, logits, pairs;
  Buffer<float> tops, factors, to_x, to_weight;

  explicit HeadWorkspace(const HeadSizes& s)
      : across(s.width() * s.C),
        along(s.width() * s.C),
        x(TOKENS * s.C),
        x_across(TOKENS * s.C),
        logits(s.width() / SIDE * STRIP),
        pairs(TOKENS * s.width()),
        tops(TOKENS * LANES),
        factors(TOKENS),
        to_x(TOKENS * s.C),
        to_weight(s.width() * s.C) {}

  // Where row r of the first strip lies, as rows and paired.
  bf16* logits_of(int64_t r) const { return logits.begin() + r * SIDE; }
  bf16* pairs_of(int64_t r) const { return pairs.begin() + r * SIDE; }
};

// n tokens from `start` on, as K rows.
struct Piece {
  int64_t start, n, K;
};

// A square of sums, n of whose columns are there -> logits, and the greatest of each row and lane.
inline void write_logits(bf16* logits, float* tops, const float* sums, int64_t n,
                         bool first_of_row) {
  const __m512 nothing = _mm512_set1_ps(NOTHING);
  for (int64_t r = 0; r < SIDE; r++) {
    const __m512 left = only(first(n), load(sums + r * SIDE), nothing);
    const __m512 right = only(first(n - LANES), load(sums + r * SIDE + LANES), nothing);
    store(logits + r * SIDE, left);
    store(logits + r * SIDE + LANES, right);
    const __m512 top = _mm512_max_ps(left, right);
    store(tops + r * LANES, first_of_row ? top : _mm512_max_ps(top, load(tops + r * LANES)));
  }
}

inline __m512 power_of(__m512 logit, float top) {
  const __m512 by = _mm512_set1_ps(float(M_LOG2E));
  return exp2(_mm512_fmsub_ps(logit, by, _mm512_set1_ps(top * float(M_LOG2E))));
}

// Two rows of logits of a piece of K -> their powers, once more paired, and their sums.
inline void raise_rows(bf16* logits, bf16* pairs, int64_t K, int64_t width, const float tops[2],
                       float totals[2]) {
  __m512 sums[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  for (int64_t v = 0; v < width; v += SIDE, logits += STRIP, pairs += K * SIDE)
    for (int64_t c = 0; c < SIDE; c += LANES) {
      __m512 powers[2];
      for (int i = 0; i < 2; i++) {
        bf16* const at = logits + i * SIDE + c;
        powers[i] = power_of(load(at), tops[i]);
        sums[i] = _mm512_add_ps(sums[i], powers[i]);
        store(at, powers[i]);
      }
      _mm512_storeu_si512(pairs + 2 * c, paired(powers[0], powers[1]));
    }
  for (int i = 0; i < 2; i++) totals[i] = _mm512_reduce_add_ps(sums[i]);
}

// Rows r and r + 1 of a piece: their logits -> u, their losses and factors. A row that is not
// there gets the factor 0.
inline void differentiate_rows(const HeadWorkspace& work, float* losses, const int64_t* targets,
                               const float* weights, const Piece& piece, int64_t r,
                               int64_t width) {
  bf16 *const logits = work.logits_of(r), *const pairs = work.pairs_of(r);
  const int64_t t = piece.start + r;
  int64_t of_rows[2];
  float tops[2], totals[2], at_targets[2];
  for (int64_t i = 0; i < 2; i++) {
    of_rows[i] = r + i < piece.n ? targets[t + i] : 0;
    tops[i] = _mm512_reduce_max_ps(load(work.tops.begin() + (r + i) * LANES));
    const bf16* logit = logits + of_rows[i] / SIDE * STRIP + i * SIDE + of_rows[i] % SIDE;
    at_targets[i] = _mm512_cvtss_f32(load(logit, first(1)));
  }
  raise_rows(logits, pairs, piece.K, width, tops, totals);
  for (int64_t i = 0; i < 2; i++) {
    const int64_t strip = of_rows[i] / SIDE, column = of_rows[i] % SIDE;
    const __m512 power = power_of(_mm512_set1_ps(at_targets[i]), tops[i]);
    const __m512 u = _mm512_sub_ps(power, _mm512_set1_ps(totals[i]));
    store(logits + strip * STRIP + i * SIDE + column, u, first(1));
    store(pairs + strip * piece.K * SIDE + 2 * column + i, u, first(1));
    const bool there = r + i < piece.n;
    work.factors.begin()[r + i] = there ? weights[t + i] / totals[i] : 0.0f;
    if (there) losses[t + i] = tops[i] - at_targets[i] + std::log(totals[i]);
  }
}

// What follows is called by all threads of a team together. Where rows are shared out, each thread
// gets the same ones every time, and so need not wait for the others.

inline void make_logits(const Tiles& tiles, const HeadWorkspace& work, const bf16* x,
                        const Piece& piece, const HeadSizes& s) {
#pragma omp for schedule(static) nowait
  for (int64_t r = 0; r < piece.K; r += SIDE)
    copy_padded(work.x.begin() + r * s.C, SIDE, x + (piece.start + r) * s.C, s.C, piece.n - r,
                s.C);
  alignas(64) float sums[SIDE * SIDE];
  for (int64_t v = 0; v < s.V; v += SIDE)
#pragma omp for schedule(static) nowait
    for (int64_t r = 0; r < piece.K; r += SIDE) {
      product(tiles, {sums, SIDE}, {work.x.begin() + r * s.C, s.C},
              {work.across.begin() + v * s.C, SIDE}, SIDE, SIDE, s.C);
      write_logits(work.logits_of(r) + v / SIDE * STRIP, work.tops.begin() + r * LANES, sums,
                   s.V - v, v == 0);
    }
}

// Logits -> u, losses, factors and f x, laid out for the gradient of W.
inline void differentiate_logits(const HeadWorkspace& work, float* losses, const int64_t* targets,
                                 const float* weights, const Piece& piece, const HeadSizes& s) {
  const Buffer<bf16> scaled(SIDE * s.C);
#pragma omp for schedule(static) nowait
  for (int64_t r = 0; r < piece.K; r += SIDE) {
    for (int64_t i = r; i < r + SIDE; i += 2)
      differentiate_rows(work, losses, targets, weights, piece, i, s.width());
    for (int64_t i = 0; i < SIDE; i++) {
      const __m512 factor = _mm512_set1_ps(work.factors.begin()[r + i]);
      const bf16* const row = work.x.begin() + (r + i) * s.C;
      for (int64_t c = 0; c < s.C; c += LANES)
        store(scaled.begin() + i * s.C + c, _mm512_mul_ps(load(row + c), factor));
    }
    block_transposed(work.x_across.begin() + r * SIDE, piece.K, scaled.begin(), s.C, SIDE, s.C);
  }
}

// f (u W).
inline void to_tokens(const Tiles& tiles, const HeadWorkspace& work, bf16* grad_x,
                      const Piece& piece, const HeadSizes& s) {
  for (int64_t v = 0; v < s.width(); v += DEPTH)
#pragma omp for schedule(static) nowait
    for (int64_t r = 0; r < piece.K; r += SIDE)
      for (int64_t c = 0; c < s.C; c += SIDE)
        product(tiles, {work.to_x.begin() + r * s.C + c, s.C},
                {work.logits_of(r) + v / SIDE * STRIP, SIDE, STRIP / SIDE},
                {work.along.begin() + c * s.width() + v * SIDE, SIDE}, SIDE, SIDE,
                std::min(DEPTH, s.width() - v), v > 0);
#pragma omp for schedule(static)
  for (int64_t r = 0; r < piece.K; r += SIDE)
    for (int64_t i = r; i < std::min(r + SIDE, piece.n); i++) {
      const __m512 factor = _mm512_set1_ps(work.factors.begin()[i]);
      const float* const row = work.to_x.begin() + i * s.C;
      for (int64_t c = 0; c < s.C; c += LANES)
        store(grad_x + (piece.start + i) * s.C + c, _mm512_mul_ps(load(row + c), factor));
    }
}

// `weight` has s.width() rows.
inline void head(const Tiles& tiles, const HeadWorkspace& work, float* losses, bf16* grad_x,
                 bf16* grad_weight, const bf16* x, const bf16* weight, const int64_t* targets,
                 const float* weights, const HeadSizes& s) {
  lay_across(work.across.begin(), weight, s.width(), s.C);
  lay_along(work.along.begin(), weight, s.width(), s.C);
  for (int64_t start = 0; start < s.n; start += TOKENS) {
    const int64_t n = std::min(TOKENS, s.n - start);
    const Piece piece{start, n, round_up(n)};
    make_logits(tiles, work, x, piece, s);
    differentiate_logits(work, losses, targets, weights, piece, s);
    to_tokens(tiles, work, grad_x, piece, s);
    add_products(tiles, work.to_weight.begin(), work.x_across.begin(), work.pairs.begin(), s.C,
                 s.V, piece.K, start > 0);
  }
  write_transposed(grad_weight, work.to_weight.begin(), s.C, s.V);
}

}  // namespace gpt
