#include "kernels/norm/norm.h"

#include <cmath>
#include <vector>

#include "tensor/check.h"

namespace mt {
namespace {

double or_else(const double* p, int64_t i, double otherwise) {
  return p == nullptr ? otherwise : p[i];
}

// One statistic for the elements (image b in [begin, end), pixel p, channel ch) of an (N,P,C) array.
struct Group {
  int64_t begin;
  int64_t end;
  int64_t ch;
  int64_t pixels;
  int64_t c;
  template <typename F>
  void for_each(F f) const {
    for (int64_t b = begin; b < end; ++b) {
      for (int64_t p = 0; p < pixels; ++p) f((b * pixels + p) * c + ch);
    }
  }
  double count() const { return static_cast<double>((end - begin) * pixels); }
};

struct Statistics {
  double mean;
  double variance;  // biased
};

Statistics statistics(const double* x, const Group& group) {
  double sum = 0;
  group.for_each([&](int64_t i) { sum += x[i]; });
  const double mean = sum / group.count();
  double squares = 0;
  group.for_each([&](int64_t i) { squares += (x[i] - mean) * (x[i] - mean); });
  return {mean, squares / group.count()};
}

void normalise(const Group& group, const double* x, const double* gamma, const double* beta,
               const double* residual, bool relu, double mean, double inv_std, double* y) {
  group.for_each([&](int64_t i) {
    const double value = (x[i] - mean) * inv_std * or_else(gamma, group.ch, 1) + or_else(beta, group.ch, 0) +
                         or_else(residual, i, 0);
    y[i] = relu && value <= 0 ? 0 : value;
  });
}

// The gradient of one group; adds to dgamma and dbeta. With frozen statistics the two mean terms vanish.
void group_backward(const Group& group, const double* x, const double* y, const double* dy,
                    const double* gamma, double mean, double inv_std, bool relu, bool frozen, double* dx,
                    double* dresidual, double* dgamma, double* dbeta) {
  const auto upstream = [&](int64_t i) { return relu && !(y[i] > 0) ? 0.0 : dy[i]; };
  double sum = 0;      // of g
  double product = 0;  // of g · x̂
  group.for_each([&](int64_t i) {
    sum += upstream(i);
    product += upstream(i) * (x[i] - mean) * inv_std;
  });
  group.for_each([&](int64_t i) {
    const double g = upstream(i);
    const double centred =
        frozen ? g : g - sum / group.count() - (x[i] - mean) * inv_std * product / group.count();
    if (dx != nullptr) dx[i] = or_else(gamma, group.ch, 1) * inv_std * centred;
    if (dresidual != nullptr) dresidual[i] = g;
  });
  if (dgamma != nullptr) dgamma[group.ch] += product;
  if (dbeta != nullptr) dbeta[group.ch] += sum;
}

void clear(double* values, int64_t n) {
  for (int64_t i = 0; values != nullptr && i < n; ++i) values[i] = 0;
}

void instance_forward(const double* x, const double* gamma, const double* beta, const double* residual,
                      bool relu, double* y, double* mean, double* inv_std, int64_t n, int64_t pixels,
                      int64_t c, double eps, Stream) {
  for (int64_t b = 0; b < n; ++b) {
    for (int64_t ch = 0; ch < c; ++ch) {
      const Group group{b, b + 1, ch, pixels, c};
      const Statistics s = statistics(x, group);
      mean[b * c + ch] = s.mean;
      inv_std[b * c + ch] = 1 / std::sqrt(s.variance + eps);
      normalise(group, x, gamma, beta, residual, relu, s.mean, inv_std[b * c + ch], y);
    }
  }
}

void instance_backward(const double* x, const double* y, const double* dy, const double* gamma,
                       const double* mean, const double* inv_std, bool relu, double* dx, double* dresidual,
                       double* dgamma, double* dbeta, int64_t n, int64_t pixels, int64_t c, Stream) {
  clear(dgamma, c);
  clear(dbeta, c);
  for (int64_t b = 0; b < n; ++b) {
    for (int64_t ch = 0; ch < c; ++ch) {
      group_backward({b, b + 1, ch, pixels, c}, x, y, dy, gamma, mean[b * c + ch], inv_std[b * c + ch], relu,
                     false, dx, dresidual, dgamma, dbeta);
    }
  }
}

void batch_forward_train(const double* x, const double* gamma, const double* beta, const double* residual,
                         bool relu, double* y, double* mean, double* inv_std, double* running_mean,
                         double* running_var, double momentum, int64_t n, int64_t pixels, int64_t c,
                         double eps, Stream) {
  check(running_var == nullptr || n * pixels >= 2,
        "batch norm: running statistics need 2 values per channel, not {}", n * pixels);
  for (int64_t ch = 0; ch < c; ++ch) {
    const Group group{0, n, ch, pixels, c};
    const Statistics s = statistics(x, group);
    mean[ch] = s.mean;
    inv_std[ch] = 1 / std::sqrt(s.variance + eps);
    normalise(group, x, gamma, beta, residual, relu, s.mean, inv_std[ch], y);
    const double unbiased = s.variance * group.count() / (group.count() - 1);
    if (running_mean != nullptr) running_mean[ch] += momentum * (s.mean - running_mean[ch]);
    if (running_var != nullptr) running_var[ch] += momentum * (unbiased - running_var[ch]);
  }
}

void batch_forward_eval(const double* x, const double* gamma, const double* beta, const double* residual,
                        bool relu, const double* running_mean, const double* running_var, double* y,
                        int64_t n, int64_t pixels, int64_t c, double eps, Stream) {
  for (int64_t ch = 0; ch < c; ++ch) {
    normalise({0, n, ch, pixels, c}, x, gamma, beta, residual, relu, running_mean[ch],
              1 / std::sqrt(running_var[ch] + eps), y);
  }
}

void batch_backward_train(const double* x, const double* y, const double* dy, const double* gamma,
                          const double* mean, const double* inv_std, bool relu, double* dx, double* dresidual,
                          double* dgamma, double* dbeta, int64_t n, int64_t pixels, int64_t c, Stream) {
  clear(dgamma, c);
  clear(dbeta, c);
  for (int64_t ch = 0; ch < c; ++ch) {
    group_backward({0, n, ch, pixels, c}, x, y, dy, gamma, mean[ch], inv_std[ch], relu, false, dx, dresidual,
                   dgamma, dbeta);
  }
}

void batch_backward_eval(const double* x, const double* y, const double* dy, const double* gamma,
                         const double* running_mean, const double* running_var, bool relu, double* dx,
                         double* dresidual, double* dgamma, double* dbeta, int64_t n, int64_t pixels,
                         int64_t c, double eps, Stream) {
  clear(dgamma, c);
  clear(dbeta, c);
  for (int64_t ch = 0; ch < c; ++ch) {
    group_backward({0, n, ch, pixels, c}, x, y, dy, gamma, running_mean[ch],
                   1 / std::sqrt(running_var[ch] + eps), relu, true, dx, dresidual, dgamma, dbeta);
  }
}

/// The mean of act(z) over one image and channel, term by term.
double average_of(const Group& group, const double* x, const double* gamma, const double* beta,
                  const double* residual, bool relu, double mean, double inv_std) {
  double sum = 0;
  group.for_each([&](int64_t i) {
    const double z = (x[i] - mean) * inv_std * or_else(gamma, group.ch, 1) + or_else(beta, group.ch, 0) +
                     or_else(residual, i, 0);
    sum += relu && z <= 0 ? 0 : z;
  });
  return sum / group.count();
}

void instance_average(const double* x, const double* gamma, const double* beta, const double* residual,
                      bool relu, double* average, int64_t n, int64_t pixels, int64_t c, double eps, Stream) {
  for (int64_t i = 0; i < n * c; ++i) {
    const Group group{i / c, i / c + 1, i % c, pixels, c};
    const Statistics s = statistics(x, group);
    average[i] = average_of(group, x, gamma, beta, residual, relu, s.mean, 1 / std::sqrt(s.variance + eps));
  }
}

void batch_average_eval(const double* x, const double* gamma, const double* beta, const double* residual,
                        bool relu, const double* running_mean, const double* running_var, double* average,
                        int64_t n, int64_t pixels, int64_t c, double eps, Stream) {
  for (int64_t i = 0; i < n * c; ++i) {
    average[i] = average_of({i / c, i / c + 1, i % c, pixels, c}, x, gamma, beta, residual, relu,
                            running_mean[i % c], 1 / std::sqrt(running_var[i % c] + eps));
  }
}

}  // namespace

template <>
const Norm<double>& norm<double>(Device device) {
  check(device == Device::cpu, "norm: the double reference runs on the cpu only, not on {}", name_of(device));
  static constexpr Norm<double> table{instance_forward,   instance_backward,    batch_forward_train,
                                      batch_forward_eval, batch_backward_train, batch_backward_eval,
                                      instance_average,   batch_average_eval};
  return table;
}

}  // namespace mt
