// Shares work out among threads, which are torch's.
#pragma once

#include <algorithm>
#include <cstdint>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace hatcnn {

inline int threads() {
#ifdef _OPENMP
  return omp_get_max_threads();
#else
  return 1;
#endif
}

// Calls work(thread, first, last) on as many parts of [0, count) as there are threads.
template <class Work>
void in_parallel(std::int64_t count, const Work& work) {
  const int parts = threads();
#pragma omp parallel for schedule(static, 1) num_threads(parts)
  for (int part = 0; part < parts; ++part) {
    const std::int64_t share = (count + parts - 1) / parts;
    const std::int64_t first = std::min(count, part * share);
    const std::int64_t last = std::min(count, first + share);
    if (first < last) work(part, first, last);
  }
}

}  // namespace hatcnn
