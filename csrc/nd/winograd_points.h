// Winograd's minimal filtering: tiles of maps and weights at points, where convolutions are products, and back.
//
// The points are chosen for small errors, about twice those of the direct chain of multiply-adds, where the usual 0, +-1, +-2
// make five times as large ones. All constants are exact but those with thirds.
// Sources: Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016; Barabasz et al., "Error analysis and
// improving the accuracy of Winograd convolution for deep neural networks", 2020.
#pragma once
#include "conv_tiles.h"

namespace nd { namespace ND_ISA {

constexpr int kTileOutputs = 4;

// u + v and u - v.
ND_INLINE void plus_minus(Vec u, Vec v, Vec& plus, Vec& minus) {
    plus = u + v;
    minus = u - v;
}

// Three taps, F(4, 3): the points 0, +-3/4, +-3/2 and infinity. The transforms of one axis are functions from[] -> to[].
struct ThreeTaps {
    static constexpr int taps = 3, points = 6, outputs = 4;

    struct Inputs {  // B^T d
        ND_INLINE void operator()(const Vec (&d)[6], Vec (&t)[6]) const {
            t[0] = fma(splat(-45.0f / 16), d[2], fma(splat(81.0f / 64), d[0], d[4]));
            plus_minus(fma(splat(-9.0f / 4), d[2], d[4]), splat(3.0f / 4) * fma(splat(-9.0f / 4), d[1], d[3]), t[1], t[2]);
            plus_minus(fma(splat(-9.0f / 16), d[2], d[4]), splat(3.0f / 2) * fma(splat(-9.0f / 16), d[1], d[3]), t[3], t[4]);
            t[5] = fma(splat(-45.0f / 16), d[3], fma(splat(81.0f / 64), d[1], d[5]));
        }
    };
    struct Weights {  // G w
        ND_INLINE void operator()(const Vec (&w)[3], Vec (&t)[6]) const {
            t[0] = splat(64.0f / 81) * w[0];
            plus_minus(fma(splat(9.0f / 16), w[2], w[0]), splat(3.0f / 4) * w[1], t[1], t[2]);
            plus_minus(fma(splat(9.0f / 4), w[2], w[0]), splat(3.0f / 2) * w[1], t[3], t[4]);
            for (int i = 1; i < 5; ++i) t[i] = splat(i < 3 ? -128.0f / 243 : 32.0f / 243) * t[i];
            t[5] = w[2];
        }
    };
    struct Outputs {  // A^T m
        ND_INLINE void operator()(const Vec (&m)[6], Vec (&y)[4]) const {
            const Vec e = m[1] + m[2], o = m[1] - m[2], f = m[3] + m[4], p = m[3] - m[4];
            y[0] = m[0] + (e + f);
            y[1] = fma(splat(3.0f / 2), p, splat(3.0f / 4) * o);
            y[2] = fma(splat(9.0f / 4), f, splat(9.0f / 16) * e);
            y[3] = fma(splat(27.0f / 8), p, fma(splat(27.0f / 64), o, m[5]));
        }
    };
    struct Gradients {  // A g
        ND_INLINE void operator()(const Vec (&g)[4], Vec (&t)[6]) const {
            t[0] = g[0];
            plus_minus(fma(splat(9.0f / 16), g[2], g[0]), splat(3.0f / 4) * fma(splat(9.0f / 16), g[3], g[1]), t[1], t[2]);
            plus_minus(fma(splat(9.0f / 4), g[2], g[0]), splat(3.0f / 2) * fma(splat(9.0f / 4), g[3], g[1]), t[3], t[4]);
            t[5] = g[3];
        }
    };
    struct WeightSums {  // G^T m
        ND_INLINE void operator()(const Vec (&m)[6], Vec (&w)[3]) const {
            const Vec e = m[1] + m[2], o = m[1] - m[2], f = m[3] + m[4], p = m[3] - m[4];
            w[0] = fma(splat(64.0f / 81), m[0], fma(splat(-128.0f / 243), e, splat(32.0f / 243) * f));
            w[1] = fma(splat(-32.0f / 81), o, splat(16.0f / 81) * p);
            w[2] = fma(splat(8.0f / 27), f - e, m[5]);
        }
    };
};

// Three taps for two outputs, F(2, 3): the points 0, +-1 and infinity. More multiplications than F(4, 3), fewer weights.
struct ThreeTapsForTwo {
    static constexpr int taps = 3, points = 4, outputs = 2;

    struct Inputs {
        ND_INLINE void operator()(const Vec (&d)[4], Vec (&t)[4]) const {
            t[0] = d[2] - d[0];
            plus_minus(d[2], d[1], t[1], t[2]);
            t[3] = d[3] - d[1];
        }
    };
    struct Outputs {
        ND_INLINE void operator()(const Vec (&m)[4], Vec (&y)[2]) const {
            y[0] = m[0] + (m[1] + m[2]);
            y[1] = (m[1] - m[2]) + m[3];
        }
    };
};

// Two taps for two outputs, F(2, 2): the points 0, 1 and infinity.
struct TwoTapsForTwo {
    static constexpr int taps = 2, points = 3, outputs = 2;

    struct Inputs {
        ND_INLINE void operator()(const Vec (&d)[3], Vec (&t)[3]) const {
            t[0] = d[1] - d[0];
            t[1] = d[1];
            t[2] = d[2] - d[1];
        }
    };
    struct Outputs {
        ND_INLINE void operator()(const Vec (&m)[3], Vec (&y)[2]) const {
            y[0] = m[0] + m[1];
            y[1] = m[1] + m[2];
        }
    };
};

// Two taps, F(4, 2): the points +-1/2, +-3/2 and infinity.
struct TwoTaps {
    static constexpr int taps = 2, points = 5, outputs = 4;

    struct Inputs {
        ND_INLINE void operator()(const Vec (&d)[5], Vec (&t)[5]) const {
            plus_minus(fma(splat(-9.0f / 4), d[1], d[3]), splat(1.0f / 2) * fma(splat(-9.0f / 4), d[0], d[2]), t[0], t[1]);
            plus_minus(fma(splat(-1.0f / 4), d[1], d[3]), splat(3.0f / 2) * fma(splat(-1.0f / 4), d[0], d[2]), t[2], t[3]);
            t[4] = fma(splat(-5.0f / 2), d[2], fma(splat(9.0f / 16), d[0], d[4]));
        }
    };
    struct Weights {
        ND_INLINE void operator()(const Vec (&w)[2], Vec (&t)[5]) const {
            plus_minus(splat(-1.0f / 4) * w[1], splat(1.0f / 2) * w[0], t[1], t[0]);
            plus_minus(splat(1.0f / 4) * w[1], splat(1.0f / 6) * w[0], t[2], t[3]);
            t[4] = w[1];
        }
    };
    struct Outputs {
        ND_INLINE void operator()(const Vec (&m)[5], Vec (&y)[4]) const {
            const Vec e = m[0] + m[1], o = m[0] - m[1], f = m[2] + m[3], p = m[2] - m[3];
            y[0] = e + f;
            y[1] = fma(splat(3.0f / 2), p, splat(1.0f / 2) * o);
            y[2] = fma(splat(9.0f / 4), f, splat(1.0f / 4) * e);
            y[3] = fma(splat(27.0f / 8), p, fma(splat(1.0f / 8), o, m[4]));
        }
    };
    struct Gradients {
        ND_INLINE void operator()(const Vec (&g)[4], Vec (&t)[5]) const {
            plus_minus(fma(splat(1.0f / 4), g[2], g[0]), splat(1.0f / 2) * fma(splat(1.0f / 4), g[3], g[1]), t[0], t[1]);
            plus_minus(fma(splat(9.0f / 4), g[2], g[0]), splat(3.0f / 2) * fma(splat(9.0f / 4), g[3], g[1]), t[2], t[3]);
            t[4] = g[3];
        }
    };
    struct WeightSums {
        ND_INLINE void operator()(const Vec (&m)[5], Vec (&w)[2]) const {
            w[0] = fma(splat(-1.0f / 2), m[0] - m[1], splat(1.0f / 6) * (m[2] - m[3]));
            w[1] = fma(splat(1.0f / 4), (m[2] + m[3]) - (m[0] + m[1]), m[4]);
        }
    };
};

// The transform of both axes, columns first: get(row, column) is what is read, put(row, values) takes a row of the result.
template <int From, int To, class Axis, class Get, class Put>
ND_INLINE void transform_axes(const Axis& axis, const Get& get, const Put& put) {
    Vec half[To][From];  // the columns, transformed
#pragma GCC unroll 6
    for (int c = 0; c < From; ++c) {
        Vec column[From], points[To];
#pragma GCC unroll 6
        for (int r = 0; r < From; ++r) column[r] = get(r, c);
        axis(column, points);
#pragma GCC unroll 6
        for (int r = 0; r < To; ++r) half[r][c] = points[r];
    }
#pragma GCC unroll 6
    for (int r = 0; r < To; ++r) {
        Vec row[To];
        axis(half[r], row);
        put(r, row);
    }
}

// The same from arrays to arrays.
template <int From, int To, class Axis>
ND_INLINE void both_axes(const Vec (&in)[From][From], Vec (&out)[To][To], const Axis& axis) {
    transform_axes<From, To>(axis, [&](int r, int c) { return in[r][c]; }, [&](int r, const Vec (&row)[To]) {
#pragma GCC unroll 6
        for (int c = 0; c < To; ++c) out[r][c] = row[c];
    });
}

}}  // namespace nd::ND_ISA
