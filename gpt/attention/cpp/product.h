// C (M x N) in float = or += A (M x K) · B (K x N) in bfloat16, for matrices that fit a core's
// cache.
//
// A lies row by row, B is paired (lanes.h); M, N and K are multiples of BLOCK. By tiles where the
// processor has them and the system grants them (Intel's AMX), else by pairs of lanes.
#pragma once

#include <cstring>

#include "lanes.h"

#if defined(__AMX_BF16__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace gpt {

constexpr int64_t BLOCK = 32;

inline int64_t round_up(int64_t n) { return (n + BLOCK - 1) / BLOCK * BLOCK; }

// A part of a matrix whose rows lie `stride` values apart; of a paired one, `stride` pairs.
template <class T>
struct Matrix {
  T* data;
  int64_t stride;
};

#if defined(__AMX_BF16__) && defined(__linux__)

// Eight tiles of 16 rows of 64 bytes, as the processor reads it. Not a local of the constructor's:
// GCC takes only its first bytes for used, and would leave the others unwritten.
struct TileShape {
  uint8_t palette = 1, rest[15] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
inline const TileShape TILE_SHAPE;

// While it lives, the calling thread has those tiles.
struct Tiles {
  const bool here;

  Tiles() : here(granted()) {
    if (here) _tile_loadconfig(&TILE_SHAPE);
  }
  ~Tiles() {
    if (here) _tile_release();
  }

  static bool granted() {
    constexpr long REQUEST_PERMISSION = 0x1023, TILE_DATA = 18;
    static const bool yes = syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
    return yes;
  }
};

inline void block_by_tiles(Matrix<float> c, Matrix<const bf16> a, Matrix<const bf16> b, int64_t K,
                           bool add) {
  const int64_t c_bytes = c.stride * 4, a_bytes = a.stride * 2, b_bytes = b.stride * 4;
  float *upper = c.data, *lower = c.data + 16 * c.stride;
  if (add) {
    _tile_loadd(0, upper, c_bytes);
    _tile_loadd(1, upper + 16, c_bytes);
    _tile_loadd(2, lower, c_bytes);
    _tile_loadd(3, lower + 16, c_bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t k = 0; k < K; k += 32) {
    _tile_loadd(4, a.data + k, a_bytes);
    _tile_loadd(5, a.data + 16 * a.stride + k, a_bytes);
    _tile_loadd(6, b.data + k * b.stride, b_bytes);
    _tile_loadd(7, b.data + k * b.stride + 32, b_bytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, upper, c_bytes);
  _tile_stored(1, upper + 16, c_bytes);
  _tile_stored(2, lower, c_bytes);
  _tile_stored(3, lower + 16, c_bytes);
}

#else

struct Tiles {
  static constexpr bool here = false;
  ~Tiles() {}  // or compilers call it unused
};

inline void block_by_tiles(Matrix<float>, Matrix<const bf16>, Matrix<const bf16>, int64_t, bool) {}

#endif

// Eight rows of 32 sums, which stay in registers.
inline void block_by_lanes(Matrix<float> c, Matrix<const bf16> a, Matrix<const bf16> b, int64_t K,
                           bool add) {
  constexpr int ROWS = 8;
  for (int64_t row = 0; row < BLOCK; row += ROWS) {
    __m512 left[ROWS], right[ROWS];
    for (int i = 0; i < ROWS; i++) {
      float* at = c.data + (row + i) * c.stride;
      left[i] = add ? _mm512_loadu_ps(at) : _mm512_setzero_ps();
      right[i] = add ? _mm512_loadu_ps(at + LANES) : _mm512_setzero_ps();
    }
    const bf16 *values = a.data + row * a.stride, *pairs = b.data;
    for (int64_t k = 0; k < K; k += 32, values += 32)
      for (int64_t j = 0; j < 32; j += 2, pairs += 2 * b.stride) {
        const auto b_left = (__m512bh)_mm512_loadu_si512(pairs);
        const auto b_right = (__m512bh)_mm512_loadu_si512(pairs + 32);
        for (int i = 0; i < ROWS; i++) {
          int32_t pair;
          std::memcpy(&pair, values + i * a.stride + j, sizeof pair);
          const auto both = (__m512bh)_mm512_set1_epi32(pair);
          left[i] = _mm512_dpbf16_ps(left[i], both, b_left);
          right[i] = _mm512_dpbf16_ps(right[i], both, b_right);
        }
      }
    for (int i = 0; i < ROWS; i++) {
      float* at = c.data + (row + i) * c.stride;
      _mm512_storeu_ps(at, left[i]);
      _mm512_storeu_ps(at + LANES, right[i]);
    }
  }
}

inline void product(const Tiles& tiles, Matrix<float> c, Matrix<const bf16> a,
                    Matrix<const bf16> b, int64_t M, int64_t N, int64_t K, bool add = false) {
  for (int64_t m = 0; m < M; m += BLOCK)
    for (int64_t n = 0; n < N; n += BLOCK) {
      const Matrix<float> to{c.data + m * c.stride + n, c.stride};
      const Matrix<const bf16> rows{a.data + m * a.stride, a.stride},
          columns{b.data + 2 * n, b.stride};
      if (tiles.here)
        block_by_tiles(to, rows, columns, K, add);
      else
        block_by_lanes(to, rows, columns, K, add);
    }
}

}  // namespace gpt
