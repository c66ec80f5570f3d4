// What stands between the convolutions of a training step on a CPU, each in as few passes over
// memory as it needs. Tensors are channels last: rows (pictures x positions) of channels.
//
// Plain C functions on plain pointers; hatcnn/models/kernels/library.py compiles and loads them.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "parallel.h"

namespace {

using hatcnn::in_parallel;
using hatcnn::threads;

struct bfloat16 {
  std::uint16_t bits;
};

// Arithmetic is in float, and in double where the tensors are double.
template <class T>
using Real = std::conditional_t<std::is_same_v<T, double>, double, float>;

inline float load(bfloat16 x) {
  const std::uint32_t wide = static_cast<std::uint32_t>(x.bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}
inline float load(float x) { return x; }
inline double load(double x) { return x; }

inline void store(bfloat16& target, float value) {
  std::uint32_t wide;
  std::memcpy(&wide, &value, sizeof wide);
  // To the nearest, ties to even; what is not a number stays one.
  const std::uint32_t rounded = (wide + 0x7fffu + ((wide >> 16) & 1u)) >> 16;
  target.bits = static_cast<std::uint16_t>(value != value ? 0x7fc0u : rounded);
}
inline void store(float& target, float value) { target = value; }
inline void store(double& target, double value) { target = value; }

constexpr std::int64_t kChannels = 32;  // held in registers at a time
constexpr std::int64_t kRows = 32;      // summed in Real before the sum goes on in double

// Calls work(first channel, count) block by block; count is a constant for whole blocks, so that
// the compiler keeps a block's values in registers.
template <class Work>
inline void in_blocks(std::int64_t channels, const Work& work) {
  std::int64_t c = 0;
  for (; c + kChannels <= channels; c += kChannels)
    work(c, std::integral_constant<std::int64_t, kChannels>{});
  if (c < channels) work(c, channels - c);
}

// One of several tensors that are normalised together, and where its parameters are. In the
// forward pass y is what leaves; in the backward pass y is its gradient, and dx that of x.
template <class T>
struct Stream {
  const T* x;
  std::int64_t x_stride;
  T* y;
  std::int64_t y_stride;
  T* dx;
  std::int64_t dx_stride;
  std::int64_t channels;
  const Real<T>*weight, *bias;
  Real<T>*mean, *inverse, *dweight, *dbias;
};

// Calls work(stream, first channel of all, part, first row, last row, first channel, count) on all
// of rows x channels. Streams take turns every few rows, since they often lie side by side.
template <class T, class Work>
void in_tiles(const Stream<T>* streams, int number, std::int64_t rows, const Work& work) {
  in_parallel(rows, [&](int part, std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; row += kRows) {
      const std::int64_t stop = std::min(end, row + kRows);
      std::int64_t offset = 0;
      for (int s = 0; s < number; offset += streams[s++].channels)
        in_blocks(streams[s].channels, [&](std::int64_t c, auto count) {
          work(streams[s], offset, part, row, stop, c, count);
        });
    }
  });
}

// Two sums over rows for each channel of the streams, first all of the one, then all of the other.
// add(stream, first channel of all, first row, last row, first channel, count, a, b) adds a tile's
// to a and b.
template <class T, class Add>
std::vector<double> two_sums(const Stream<T>* streams, int number, std::int64_t rows,
                             const Add& add) {
  using R = Real<T>;
  std::int64_t channels = 0;
  for (int s = 0; s < number; ++s) channels += streams[s].channels;
  const int parts = threads();
  std::vector<double> partial(2 * parts * channels, 0.0), sums(2 * channels, 0.0);
  in_tiles(streams, number, rows,
           [&](const Stream<T>& stream, std::int64_t offset, int part, std::int64_t begin,
               std::int64_t end, std::int64_t c, auto count) {
             R a[kChannels] = {}, b[kChannels] = {};
             add(stream, offset, begin, end, c, count, a, b);
             double* const mine = partial.data() + 2 * part * channels + offset + c;
             for (std::int64_t i = 0; i < count; ++i) {
               mine[i] += a[i];
               mine[channels + i] += b[i];
             }
           });
  for (int part = 0; part < parts; ++part)
    for (std::int64_t c = 0; c < 2 * channels; ++c) sums[c] += partial[2 * part * channels + c];
  return sums;
}

template <class T>
void norm_relu(const Stream<T>* streams, int number, std::int64_t rows, double epsilon, int relu) {
  using R = Real<T>;
  // Sums are taken relative to the first row: a mean far from zero costs no digits.
  std::vector<R> base, scale, shift;
  for (int s = 0; s < number; ++s)
    for (std::int64_t c = 0; c < streams[s].channels; ++c) base.push_back(load(streams[s].x[c]));
  const auto sums = two_sums(
      streams, number, rows,
      [&](const Stream<T>& stream, std::int64_t offset, std::int64_t begin, std::int64_t end,
          std::int64_t c, auto count, R* sum, R* squares) {
        R b[kChannels];
        std::copy_n(base.data() + offset + c, count, b);
        for (std::int64_t r = begin; r < end; ++r) {
          const T* const in = stream.x + r * stream.x_stride + c;
          for (std::int64_t i = 0; i < count; ++i) {
            const R v = load(in[i]) - b[i];
            sum[i] += v;
            squares[i] += v * v;
          }
        }
      });
  for (int s = 0; s < number; ++s)
    for (std::int64_t c = 0; c < streams[s].channels; ++c) {
      const std::size_t at = scale.size();
      const double level = sums[at] / rows;
      const double variance = std::max(0.0, sums[base.size() + at] / rows - level * level);
      const double factor = 1 / std::sqrt(variance + epsilon);
      streams[s].mean[c] = static_cast<R>(base[at] + level);
      streams[s].inverse[c] = static_cast<R>(factor);
      scale.push_back(static_cast<R>(streams[s].weight[c] * factor));
      shift.push_back(static_cast<R>(streams[s].bias[c] -
                                     (base[at] + level) * streams[s].weight[c] * factor));
    }
  const R floor = relu ? R(0) : -INFINITY;
  in_tiles(streams, number, rows,
           [&](const Stream<T>& stream, std::int64_t offset, int, std::int64_t begin,
               std::int64_t end, std::int64_t c, auto count) {
             R a[kChannels], b[kChannels];
             std::copy_n(scale.data() + offset + c, count, a);
             std::copy_n(shift.data() + offset + c, count, b);
             for (std::int64_t r = begin; r < end; ++r) {
               const T* __restrict const in = stream.x + r * stream.x_stride + c;
               T* __restrict const out = stream.y + r * stream.y_stride + c;
               for (std::int64_t i = 0; i < count; ++i) {
                 const R v = load(in[i]) * a[i] + b[i];
                 store(out[i], v < floor ? floor : v);
               }
             }
           });
}

template <class T>
void norm_relu_backward(const Stream<T>* streams, int number, std::int64_t rows, int relu) {
  using R = Real<T>;
  // A value got through when value * scale + shift lay above zero; without the cut-off, always.
  std::vector<R> scale, shift, centre, of_x, constant;
  for (int s = 0; s < number; ++s)
    for (std::int64_t c = 0; c < streams[s].channels; ++c) {
      const Stream<T>& stream = streams[s];
      const R factor = stream.weight[c] * stream.inverse[c];
      scale.push_back(factor);
      centre.push_back(stream.mean[c]);
      shift.push_back(relu ? stream.bias[c] - stream.mean[c] * factor : R(INFINITY));
    }
  const auto sums = two_sums(
      streams, number, rows,
      [&](const Stream<T>& stream, std::int64_t offset, std::int64_t begin, std::int64_t end,
          std::int64_t c, auto count, R* sum, R* products) {
        R a[kChannels], b[kChannels], m[kChannels];
        std::copy_n(scale.data() + offset + c, count, a);
        std::copy_n(shift.data() + offset + c, count, b);
        std::copy_n(centre.data() + offset + c, count, m);
        for (std::int64_t r = begin; r < end; ++r) {
          const T* const in = stream.x + r * stream.x_stride + c;
          const T* const gradient = stream.y + r * stream.y_stride + c;
          for (std::int64_t i = 0; i < count; ++i) {
            const R v = load(in[i]), d = load(gradient[i]);
            const R g = v * a[i] + b[i] > 0 ? d : R(0);
            sum[i] += g;
            products[i] += g * (v - m[i]);
          }
        }
      });
  for (int s = 0; s < number; ++s)
    for (std::int64_t c = 0; c < streams[s].channels; ++c) {
      const std::size_t at = of_x.size();
      const double sum = sums[at], product = sums[scale.size() + at];
      const double inverse = streams[s].inverse[c];
      streams[s].dbias[c] = static_cast<R>(sum);
      streams[s].dweight[c] = static_cast<R>(product * inverse);
      of_x.push_back(static_cast<R>(-scale[at] * inverse * inverse * product / rows));
      constant.push_back(static_cast<R>(-scale[at] * sum / rows));
    }
  in_tiles(streams, number, rows,
           [&](const Stream<T>& stream, std::int64_t offset, int, std::int64_t begin,
               std::int64_t end, std::int64_t c, auto count) {
             R a[kChannels], b[kChannels], k[kChannels], m[kChannels], e[kChannels];
             std::copy_n(scale.data() + offset + c, count, a);
             std::copy_n(shift.data() + offset + c, count, b);
             std::copy_n(of_x.data() + offset + c, count, k);
             std::copy_n(centre.data() + offset + c, count, m);
             std::copy_n(constant.data() + offset + c, count, e);
             for (std::int64_t r = begin; r < end; ++r) {
               const T* __restrict const in = stream.x + r * stream.x_stride + c;
               const T* __restrict const gradient = stream.y + r * stream.y_stride + c;
               T* __restrict const out = stream.dx + r * stream.dx_stride + c;
               for (std::int64_t i = 0; i < count; ++i) {
                 const R v = load(in[i]), d = load(gradient[i]);
                 const R g = v * a[i] + b[i] > 0 ? d : R(0);
                 store(out[i], a[i] * g + k[i] * (v - m[i]) + e[i]);
               }
             }
           });
}

// 3x3 neighbourhoods, stride 2; padding never wins.
template <class T>
void max_pool(const T* x, T* y, std::uint8_t* winner, std::int64_t pictures, std::int64_t height,
              std::int64_t width, std::int64_t channels) {
  using R = Real<T>;
  const std::int64_t tall = (height + 1) / 2, wide = (width + 1) / 2;
  in_parallel(pictures * tall, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t line = begin; line < end; ++line) {
      const std::int64_t picture = line / tall, top = 2 * (line % tall) - 1;
      for (std::int64_t column = 0; column < wide; ++column) {
        const std::int64_t left = 2 * column - 1, place = (line * wide + column) * channels;
        in_blocks(channels, [&](std::int64_t c, auto count) {
          R best[kChannels];
          std::int32_t won[kChannels];
          for (std::int64_t i = 0; i < count; ++i) best[i] = -INFINITY, won[i] = -1;
          for (int tap = 0; tap < 9; ++tap) {
            const std::int64_t row = top + tap / 3, col = left + tap % 3;
            if (row < 0 || row >= height || col < 0 || col >= width) continue;
            const T* const in = x + ((picture * height + row) * width + col) * channels + c;
            for (std::int64_t i = 0; i < count; ++i) {
              const R v = load(in[i]);
              // The first one wins whatever it is; what is not a number wins over all.
              const bool wins = (v > best[i]) | (v != v) | (won[i] < 0);
              best[i] = wins ? v : best[i];
              won[i] = wins ? tap : won[i];
            }
          }
          for (std::int64_t i = 0; i < count; ++i) store(y[place + c + i], best[i]);
          for (std::int64_t i = 0; i < count; ++i)
            winner[place + c + i] = static_cast<std::uint8_t>(won[i]);
        });
      }
    }
  });
}

template <class T>
void max_pool_backward(const T* dy, const std::uint8_t* winner, T* dx, std::int64_t pictures,
                       std::int64_t height, std::int64_t width, std::int64_t channels) {
  using R = Real<T>;
  const std::int64_t tall = (height + 1) / 2, wide = (width + 1) / 2;
  in_parallel(pictures * height, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t line = begin; line < end; ++line) {
      const std::int64_t picture = line / height, i = line % height;
      // The outputs whose neighbourhoods this position is in: one or two each way.
      const std::int64_t last_row = std::min(tall - 1, (i + 1) / 2);
      for (std::int64_t j = 0; j < width; ++j) {
        const std::int64_t last_column = std::min(wide - 1, (j + 1) / 2);
        in_blocks(channels, [&](std::int64_t c, auto count) {
          R sum[kChannels] = {};
          for (std::int64_t row = i / 2; row <= last_row; ++row)
            for (std::int64_t column = j / 2; column <= last_column; ++column) {
              const auto tap = static_cast<std::int32_t>((i - 2 * row + 1) * 3 + j - 2 * column + 1);
              const std::int64_t place = ((picture * tall + row) * wide + column) * channels + c;
              for (std::int64_t k = 0; k < count; ++k) {
                const R d = load(dy[place + k]);
                sum[k] += static_cast<std::int32_t>(winner[place + k]) == tap ? d : R(0);
              }
            }
          T* const out = dx + (line * width + j) * channels + c;
          for (std::int64_t k = 0; k < count; ++k) store(out[k], sum[k]);
        });
      }
    }
  });
}

// Mean of 3x3 neighbours, zeros outside counted; it is its own transpose.
template <class T>
void average_pool(const T* x, std::int64_t x_stride, T* y, std::int64_t y_stride,
                  std::int64_t pictures, std::int64_t height, std::int64_t width,
                  std::int64_t channels) {
  using R = Real<T>;
  in_parallel(pictures * height, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t line = begin; line < end; ++line) {
      const std::int64_t picture = line / height, i = line % height;
      const std::int64_t first_row = std::max<std::int64_t>(0, i - 1);
      const std::int64_t last_row = std::min(height - 1, i + 1);
      for (std::int64_t j = 0; j < width; ++j) {
        const std::int64_t first_column = std::max<std::int64_t>(0, j - 1);
        const std::int64_t last_column = std::min(width - 1, j + 1);
        in_blocks(channels, [&](std::int64_t c, auto count) {
          R sum[kChannels] = {};
          for (std::int64_t row = first_row; row <= last_row; ++row)
            for (std::int64_t column = first_column; column <= last_column; ++column) {
              const T* const in = x + ((picture * height + row) * width + column) * x_stride + c;
              for (std::int64_t k = 0; k < count; ++k) sum[k] += load(in[k]);
            }
          T* const out = y + (line * width + j) * y_stride + c;
          for (std::int64_t k = 0; k < count; ++k) store(out[k], sum[k] / R(9));
        });
      }
    }
  });
}

// e to the power of x in a form that compilers turn into vector code; relative error 3e-7.
inline float exponential(float x) {
  x = x < -87.0f ? -87.0f : (x > 87.0f ? 87.0f : x);
  const float n = std::nearbyint(x * 1.44269504088896341f);
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const std::int32_t bits = (static_cast<std::int32_t>(n) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return p * power;
}
inline double exponential(double x) { return std::exp(x); }

// Soft attention: y = x * sigmoid(z), z = spatial * channel + shift, cut off below zero if relu.
// x and y are pictures x positions x channels, spatial has no channels, channel no positions.
template <class T>
void attend(const T* x, const T* spatial, const Real<T>* channel, const Real<T>* shift, T* y,
            std::int64_t pictures, std::int64_t positions, std::int64_t channels, int relu) {
  using R = Real<T>;
  const R floor = relu ? R(0) : -INFINITY;
  in_parallel(pictures * positions, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const R s = load(spatial[row]);
      const R* const of_picture = channel + row / positions * channels;
      in_blocks(channels, [&](std::int64_t c, auto count) {
        const T* __restrict const in = x + row * channels + c;
        T* __restrict const out = y + row * channels + c;
        for (std::int64_t i = 0; i < count; ++i) {
          R z = s * of_picture[c + i] + shift[c + i];
          z = z < floor ? floor : z;
          store(out[i], load(in[i]) / (R(1) + exponential(-z)));
        }
      });
    }
  });
}

// Gradients of `attend`. dchannel and dshift, both pictures x channels, get each picture's sums.
template <class T>
void attend_backward(const T* x, const T* spatial, const Real<T>* channel, const Real<T>* shift,
                     const T* dy, T* dx, T* dspatial, Real<T>* dchannel, Real<T>* dshift,
                     std::int64_t pictures, std::int64_t positions, std::int64_t channels,
                     int relu) {
  using R = Real<T>;
  const R floor = relu ? R(0) : -INFINITY;
  in_parallel(pictures, [&](int, std::int64_t begin, std::int64_t end) {
    std::vector<R> of_spatial(positions);
    for (std::int64_t picture = begin; picture < end; ++picture) {
      std::fill(of_spatial.begin(), of_spatial.end(), R(0));
      in_blocks(channels, [&](std::int64_t c, auto count) {
        R a[kChannels], b[kChannels], to_channel[kChannels] = {}, to_shift[kChannels] = {};
        std::copy_n(channel + picture * channels + c, count, a);
        std::copy_n(shift + c, count, b);
        for (std::int64_t at = 0; at < positions; ++at) {
          const std::int64_t row = picture * positions + at;
          const R s = load(spatial[row]);
          const T* __restrict const in = x + row * channels + c;
          const T* __restrict const gradient = dy + row * channels + c;
          R terms[kChannels] = {}, through[kChannels];
          for (std::int64_t i = 0; i < count; ++i) {
            const R z = s * a[i] + b[i];
            const R weight = R(1) / (R(1) + exponential(-(z < floor ? floor : z)));
            const R d = load(gradient[i]);
            through[i] = d * weight;
            const R slope = d * load(in[i]) * weight * (R(1) - weight);
            const R dz = z < floor ? R(0) : slope;
            terms[i] = dz * a[i];
            to_channel[i] += dz * s;
            to_shift[i] += dz;
          }
          // Stored in a loop of its own: dx might lie anywhere, and the first would not be vector code.
          for (std::int64_t i = 0; i < count; ++i) store(dx[row * channels + c + i], through[i]);
          R sum = 0;
#pragma omp simd reduction(+ : sum)
          for (std::int64_t i = 0; i < kChannels; ++i) sum += terms[i];
          of_spatial[at] += sum;
        }
        std::copy_n(to_channel, count, dchannel + picture * channels + c);
        std::copy_n(to_shift, count, dshift + picture * channels + c);
      });
      for (std::int64_t at = 0; at < positions; ++at)
        store(dspatial[picture * positions + at], of_spatial[at]);
    }
  });
}

}  // namespace

#define HATCNN_KERNELS(name, T)                                                                    \
  void norm_relu_##name(const Stream<T>* streams, int number, std::int64_t rows, double epsilon,   \
                        int relu) {                                                                \
    norm_relu(streams, number, rows, epsilon, relu);                                               \
  }                                                                                                \
  void norm_relu_backward_##name(const Stream<T>* streams, int number, std::int64_t rows,          \
                                 int relu) {                                                       \
    norm_relu_backward(streams, number, rows, relu);                                               \
  }                                                                                                \
  void max_pool_##name(const T* x, T* y, std::uint8_t* winner, std::int64_t pictures,              \
                       std::int64_t height, std::int64_t width, std::int64_t channels) {           \
    max_pool(x, y, winner, pictures, height, width, channels);                                     \
  }                                                                                                \
  void max_pool_backward_##name(const T* dy, const std::uint8_t* winner, T* dx,                    \
                                std::int64_t pictures, std::int64_t height, std::int64_t width,    \
                                std::int64_t channels) {                                           \
    max_pool_backward(dy, winner, dx, pictures, height, width, channels);                          \
  }                                                                                                \
  void average_pool_##name(const T* x, std::int64_t x_stride, T* y, std::int64_t y_stride,         \
                           std::int64_t pictures, std::int64_t height, std::int64_t width,         \
                           std::int64_t channels) {                                                \
    average_pool(x, x_stride, y, y_stride, pictures, height, width, channels);                     \
  }                                                                                                \
  void attend_##name(const T* x, const T* spatial, const Real<T>* channel, const Real<T>* shift,   \
                     T* y, std::int64_t pictures, std::int64_t positions, std::int64_t channels,   \
                     std::int64_t relu) {                                                          \
    attend(x, spatial, channel, shift, y, pictures, positions, channels, relu);                    \
  }                                                                                                \
  void attend_backward_##name(const T* x, const T* spatial, const Real<T>* channel,                \
                              const Real<T>* shift, const T* dy, T* dx, T* dspatial,               \
                              Real<T>* dchannel, Real<T>* dshift, std::int64_t pictures,           \
                              std::int64_t positions, std::int64_t channels, std::int64_t relu) {  \
    attend_backward(x, spatial, channel, shift, dy, dx, dspatial, dchannel, dshift, pictures,      \
                    positions, channels, relu);                                                    \
  }

extern "C" {
HATCNN_KERNELS(bfloat16, bfloat16)
HATCNN_KERNELS(float32, float)
HATCNN_KERNELS(float64, double)
}
