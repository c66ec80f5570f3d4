// 3x3 convolutions, stride 1 and zeros around, by Winograd's F(4x4, 3x3) in float32: 36
// multiplications where 144 would be needed. Outputs come in tiles of 4x4. The 6x6 inputs of each
// tile and the filters are transformed, multiplied spot by spot (36 matrix products over the
// channels), and transformed back. Tensors are channels last; a register holds several channels.
//
// Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "parallel.h"

namespace {

using hatcnn::in_parallel;
using hatcnn::threads;

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
constexpr int kPanel = 2 * kLanes;  // columns of a matrix product that stay in registers
constexpr int kRows = 6;            // and rows, where the rows are tiles
constexpr int kChannelRows = 4;     // and where they are channels, of which there are 4 n
constexpr int kTiles = 4 * kRows;   // transformed and multiplied at a time: fits the second cache
constexpr int kIn = 6, kOut = 4, kSpots = kIn * kIn;

typedef float Lanes __attribute__((vector_size(4 * kLanes)));

inline Lanes load(const float* p) {
  Lanes v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void store(float* p, Lanes v) { std::memcpy(p, &v, sizeof v); }

// Keeps the compiler from reading a value from memory once for each of its uses.
inline void keep_in_register(Lanes& v) {
#if defined(__x86_64__)
  asm("" : "+v"(v));
#elif defined(__aarch64__)
  asm("" : "+w"(v));
#endif
}

constexpr std::align_val_t kAligned{64};
struct Delete {
  void operator()(float* p) const { ::operator delete[](p, kAligned); }
};
using Buffer = std::unique_ptr<float[], Delete>;
Buffer buffer(std::int64_t count) { return Buffer(new (kAligned) float[count]); }
Buffer zeros(std::int64_t count) {
  Buffer made = buffer(count);
  std::fill_n(made.get(), count, 0.f);
  return made;
}

// C = A B, or C += A B, where C is Rows x kPanel. A's element (r, k) is at a[r * a_row + k * a_step];
// the rows of B are b_row apart, those of C c_row.
template <int Rows, bool Add>
inline void multiply(const float* a, std::int64_t a_row, std::int64_t a_step, const float* b,
                     std::int64_t b_row, std::int64_t count, float* c, std::int64_t c_row) {
  Lanes sum[Rows][2];
  for (int r = 0; r < Rows; ++r)
    for (int half = 0; half < 2; ++half)
      sum[r][half] = Add ? load(c + r * c_row + half * kLanes) : Lanes{};
  for (std::int64_t k = 0; k < count; ++k, a += a_step, b += b_row) {
    Lanes first = load(b), second = load(b + kLanes);
    keep_in_register(first);
    keep_in_register(second);
    for (int r = 0; r < Rows; ++r) {
      const Lanes factor = a[r * a_row] - Lanes{};
      sum[r][0] += factor * first;
      sum[r][1] += factor * second;
    }
  }
  for (int r = 0; r < Rows; ++r)
    for (int half = 0; half < 2; ++half) store(c + r * c_row + half * kLanes, sum[r][half]);
}

// The transforms along one dimension, for the points 0, 1, -1, 2, -2 and infinity.

void inputs_forth(const Lanes (&x)[kIn], Lanes (&v)[kIn]) {
  const Lanes even = x[4] - 4.f * x[2], odd = x[3] - 4.f * x[1];
  const Lanes even2 = x[4] - x[2], odd2 = 2.f * (x[3] - x[1]);
  v[0] = 4.f * x[0] - 5.f * x[2] + x[4];
  v[1] = even + odd;
  v[2] = even - odd;
  v[3] = even2 + odd2;
  v[4] = even2 - odd2;
  v[5] = 4.f * x[1] - 5.f * x[3] + x[5];
}

void outputs_back(const Lanes (&m)[kIn], Lanes (&y)[kOut]) {
  const Lanes even = m[1] + m[2], odd = m[1] - m[2];
  const Lanes even2 = m[3] + m[4], odd2 = m[3] - m[4];
  y[0] = m[0] + even + even2;
  y[1] = odd + 2.f * odd2;
  y[2] = even + 4.f * even2;
  y[3] = odd + 8.f * odd2 + m[5];
}

// The transpose of `outputs_back`.
void outputs_forth(const Lanes (&y)[kOut], Lanes (&m)[kIn]) {
  const Lanes even = y[0] + y[2], odd = y[1] + y[3];
  const Lanes even2 = y[0] + 4.f * y[2], odd2 = 2.f * y[1] + 8.f * y[3];
  m[0] = y[0];
  m[1] = even + odd;
  m[2] = even - odd;
  m[3] = even2 + odd2;
  m[4] = even2 - odd2;
  m[5] = y[3];
}

constexpr float kFilter[kIn][3] = {
    {1.f / 4, 0, 0},
    {-1.f / 6, -1.f / 6, -1.f / 6},
    {-1.f / 6, 1.f / 6, -1.f / 6},
    {1.f / 24, 1.f / 12, 1.f / 6},
    {1.f / 24, -1.f / 12, 1.f / 6},
    {0, 0, 1},
};

struct Grid {
  std::int64_t pictures, height, width;
  std::int64_t down = (height + kOut - 1) / kOut, across = (width + kOut - 1) / kOut;

  std::int64_t tiles() const { return pictures * down * across; }

  // Where the values of a Side x Side square are that begins `margin` above and left of a tile;
  // `outside` where it leaves the picture.
  template <int Side, class T>
  void places(std::int64_t tile, int margin, T* x, std::int64_t channels, T* outside,
              T* (&at)[Side][Side]) const {
    const std::int64_t picture = tile / (down * across), rest = tile % (down * across);
    const std::int64_t top = rest / across * kOut - margin, left = rest % across * kOut - margin;
    for (int i = 0; i < Side; ++i)
      for (int j = 0; j < Side; ++j) {
        const std::int64_t row = top + i, column = left + j;
        const bool inside = row >= 0 && row < height && column >= 0 && column < width;
        at[i][j] = inside ? x + ((picture * height + row) * width + column) * channels : outside;
      }
  }
};

// Transforms the Side x Side values of a tile, first its columns, then its rows. What comes of the
// first goes to `half`; the kSpots results lie `apart` from each other.
template <int Side, class Transform>
void transform_in(const Grid& grid, std::int64_t tile, const float* x, std::int64_t channels,
                  const float* outside, float* half, float* out, std::int64_t apart,
                  const Transform& transform) {
  const float* at[Side][Side];
  grid.places<Side>(tile, Side == kIn ? 1 : 0, x, channels, outside, at);
  Lanes in[Side], done[kIn];
  for (int j = 0; j < Side; ++j)
    for (std::int64_t c = 0; c < channels; c += kLanes) {
      for (int i = 0; i < Side; ++i) in[i] = load(at[i][j] + c);
      transform(in, done);
      for (int i = 0; i < kIn; ++i) store(half + (i * Side + j) * channels + c, done[i]);
    }
  for (int i = 0; i < kIn; ++i)
    for (std::int64_t c = 0; c < channels; c += kLanes) {
      for (int j = 0; j < Side; ++j) in[j] = load(half + (i * Side + j) * channels + c);
      transform(in, done);
      for (int j = 0; j < kIn; ++j) store(out + (i * kIn + j) * apart + c, done[j]);
    }
}

void transform_out(const Grid& grid, std::int64_t tile, const float* sums, std::int64_t apart,
                   float* half, float* y, std::int64_t channels) {
  float* at[kOut][kOut];
  grid.places<kOut, float>(tile, 0, y, channels, nullptr, at);
  Lanes in[kIn], done[kOut];
  for (int j = 0; j < kIn; ++j)
    for (std::int64_t c = 0; c < channels; c += kLanes) {
      for (int i = 0; i < kIn; ++i) in[i] = load(sums + (i * kIn + j) * apart + c);
      outputs_back(in, done);
      for (int i = 0; i < kOut; ++i) store(half + (i * kIn + j) * channels + c, done[i]);
    }
  for (int i = 0; i < kOut; ++i)
    for (std::int64_t c = 0; c < channels; c += kLanes) {
      for (int j = 0; j < kIn; ++j) in[j] = load(half + (i * kIn + j) * channels + c);
      outputs_back(in, done);
      for (int j = 0; j < kOut; ++j)
        if (at[i][j]) store(at[i][j] + c, done[j]);
    }
}

// Filters, (to, 3, 3, from) in memory, to kSpots matrices, each as panels of from x kPanel. Turned:
// for the gradient of the inputs, (from, 3, 3, to) in memory, since what goes in are outputs.
void transform_filters(const float* w, std::int64_t from, std::int64_t to, bool turned, float* u) {
  in_parallel(from, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t c = begin; c < end; ++c)
      for (std::int64_t o = 0; o < to; o += kLanes) {
        Lanes g[3][3], half[kIn][3];
        for (int tap = 0; tap < 9; ++tap)
          for (int lane = 0; lane < kLanes; ++lane)
            g[tap / 3][tap % 3][lane] = turned ? w[(c * 9 + 8 - tap) * to + o + lane]
                                               : w[((o + lane) * 9 + tap) * from + c];
        for (int i = 0; i < kIn; ++i)
          for (int j = 0; j < 3; ++j)
            half[i][j] =
                kFilter[i][0] * g[0][j] + kFilter[i][1] * g[1][j] + kFilter[i][2] * g[2][j];
        float* const at = u + (o / kPanel * from + c) * kPanel + o % kPanel;
        for (int i = 0; i < kIn; ++i)
          for (int j = 0; j < kIn; ++j)
            store(at + (i * kIn + j) * from * to,
                  kFilter[j][0] * half[i][0] + kFilter[j][1] * half[i][1] +
                      kFilter[j][2] * half[i][2]);
      }
  });
}

// The transpose of `transform_filters`: the sum of the parts, each (kSpots, from, to), to the
// gradient of the filters.
void transform_gradients(const std::vector<Buffer>& parts, std::int64_t from, std::int64_t to,
                         float* dw) {
  in_parallel(from, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t c = begin; c < end; ++c)
      for (std::int64_t o = 0; o < to; o += kLanes) {
        Lanes half[3][kIn] = {};
        for (int i = 0; i < kIn; ++i)
          for (int j = 0; j < kIn; ++j) {
            Lanes sum = {};
            for (const Buffer& part : parts)
              if (part) sum += load(part.get() + ((i * kIn + j) * from + c) * to + o);
            for (int k = 0; k < 3; ++k) half[k][j] += kFilter[i][k] * sum;
          }
        for (int tap = 0; tap < 9; ++tap) {
          Lanes sum = {};
          for (int k = 0; k < kIn; ++k) sum += kFilter[k][tap % 3] * half[tap / 3][k];
          for (int lane = 0; lane < kLanes; ++lane)
            dw[((o + lane) * 9 + tap) * from + c] = sum[lane];
        }
      }
  });
}

// Calls start(part) once in each thread, and what it returns with (first tile, count) on all of the
// thread's tiles, kTiles at a time.
template <class Start>
void in_blocks(const Grid& grid, const Start& start) {
  const std::int64_t tiles = grid.tiles();
  in_parallel((tiles + kTiles - 1) / kTiles, [&](int part, std::int64_t begin, std::int64_t end) {
    const auto work = start(part);
    for (std::int64_t first = begin * kTiles; first < std::min(tiles, end * kTiles);
         first += kTiles)
      work(first, std::min<std::int64_t>(kTiles, tiles - first));
  });
}

// y = the convolution of x; filters as in `transform_filters`.
void convolve(const float* x, const float* w, float* y, const Grid& grid, std::int64_t from,
              std::int64_t to, bool turned) {
  const Buffer filters = buffer(kSpots * from * to), outside = zeros(from);
  transform_filters(w, from, to, turned, filters.get());
  in_blocks(grid, [&](int) {
    return [&, inputs = zeros(kSpots * kTiles * from), sums = buffer(kSpots * kTiles * to),
            half = buffer(kSpots * std::max(from, to))](std::int64_t first, std::int64_t count) {
      for (std::int64_t t = 0; t < count; ++t)
        transform_in<kIn>(grid, first + t, x, from, outside.get(), half.get(),
                          inputs.get() + t * from, kTiles * from, inputs_forth);
      for (int spot = 0; spot < kSpots; ++spot)
        for (std::int64_t o = 0; o < to; o += kPanel)
          for (std::int64_t t = 0; t < count; t += kRows)
            multiply<kRows, false>(inputs.get() + (spot * kTiles + t) * from, from, 1,
                                   filters.get() + (spot * to + o) * from, kPanel, from,
                                   sums.get() + (spot * kTiles + t) * to + o, to);
      for (std::int64_t t = 0; t < count; ++t)
        transform_out(grid, first + t, sums.get() + t * to, kTiles * to, half.get(), y, to);
    };
  });
}

// dw = the gradient of the filters, (to, 3, 3, from) in memory.
void filter_gradient(const float* x, const float* dy, float* dw, const Grid& grid,
                     std::int64_t from, std::int64_t to) {
  const Buffer outside = zeros(std::max(from, to));
  std::vector<Buffer> parts(threads());
  in_blocks(grid, [&](int part) {
    parts[part] = zeros(kSpots * from * to);
    return [&, total = parts[part].get(), inputs = buffer(kSpots * kTiles * from),
            gradients = buffer(kSpots * kTiles * to),
            half = buffer(kSpots * std::max(from, to))](std::int64_t first, std::int64_t count) {
      for (std::int64_t t = 0; t < count; ++t) {
        transform_in<kIn>(grid, first + t, x, from, outside.get(), half.get(),
                          inputs.get() + t * from, kTiles * from, inputs_forth);
        transform_in<kOut>(grid, first + t, dy, to, outside.get(), half.get(),
                           gradients.get() + t * to, kTiles * to, outputs_forth);
      }
      for (int spot = 0; spot < kSpots; ++spot)
        for (std::int64_t o = 0; o < to; o += kPanel)
          for (std::int64_t c = 0; c < from; c += kChannelRows)
            multiply<kChannelRows, true>(inputs.get() + spot * kTiles * from + c, 1, from,
                                         gradients.get() + spot * kTiles * to + o, to, count,
                                         total + (spot * from + c) * to + o, to);
    };
  });
  transform_gradients(parts, from, to, dw);
}

}  // namespace

// Layers have `in` channels and `out` filters, (out, 3, 3, in) in memory.
extern "C" {

int kernel_threads() { return threads(); }

// Both numbers of channels must be multiples of this.
int conv3x3_multiple() { return kPanel; }

void conv3x3_float32(const float* x, const float* w, float* y, std::int64_t pictures,
                     std::int64_t height, std::int64_t width, std::int64_t in, std::int64_t out) {
  convolve(x, w, y, {pictures, height, width}, in, out, false);
}

void conv3x3_inputs_float32(const float* dy, const float* w, float* dx, std::int64_t pictures,
                            std::int64_t height, std::int64_t width, std::int64_t in,
                            std::int64_t out) {
  convolve(dy, w, dx, {pictures, height, width}, out, in, true);
}

void conv3x3_filters_float32(const float* x, const float* dy, float* dw, std::int64_t pictures,
                             std::int64_t height, std::int64_t width, std::int64_t in,
                             std::int64_t out) {
  filter_gradient(x, dy, dw, {pictures, height, width}, in, out);
}
}
