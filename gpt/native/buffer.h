// Memory for a call's own use, aligned to a cache line.
#pragma once

#include <cstdint>
#include <cstdlib>

namespace gpt {

template <class T>
class Buffer {
 public:
  explicit Buffer(int64_t n)
      : data_(static_cast<T*>(std::aligned_alloc(64, (n * sizeof(T) + 63) / 64 * 64))),
        next_(data_) {}
  ~Buffer() { std::free(data_); }
  Buffer(const Buffer&) = delete;

  T* begin() const { return data_; }
  void reset() { next_ = data_; }
  T* take(int64_t n) {
    T* taken = next_;
    next_ += n;
    return taken;
  }

 private:
  T *const data_, *next_;
};

}  // namespace gpt
