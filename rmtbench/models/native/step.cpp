// A decode step's layers for a few rows on a CPU, in float32: see step.py, which calls this, and build.py, which compiles it.
//
// At few rows a step is bounded by how fast the weights are read, so each weight is read once, for all rows, in order.
// A row's sums are added in the same order however many rows there are: a row's numbers do not depend on its neighbours.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include <omp.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace {

constexpr int LANES = 16;
constexpr int64_t MOST_WIDTH = 128;
constexpr int64_t CHUNK = 128;  // keys of one task: their scores and values stay in a core's cache
typedef float Lanes __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t Whole __attribute__((vector_size(LANES * sizeof(int32_t))));

inline Lanes load(const float *from) {
    Lanes found;
    std::memcpy(&found, from, sizeof found);
    return found;
}

inline Lanes load(const int8_t *from) {
    Lanes found;
#if defined(__AVX512F__)
    const __m512 whole = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i *>(from))));
    std::memcpy(&found, &whole, sizeof found);
#elif defined(__AVX2__)
    __m256 halves[2];
    for (int half = 0; half < 2; ++half)
        halves[half] = _mm256_cvtepi32_ps(
            _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(from + half * LANES / 2))));
    std::memcpy(&found, halves, sizeof found);
#else
    float each[LANES];
    for (int lane = 0; lane < LANES; ++lane) each[lane] = from[lane];
    std::memcpy(&found, each, sizeof found);
#endif
    return found;
}

inline void store(float *to, Lanes values) { std::memcpy(to, &values, sizeof values); }

typedef float Half __attribute__((vector_size(LANES / 2 * sizeof(float))));
typedef float Quarter __attribute__((vector_size(LANES / 4 * sizeof(float))));

inline float sum(Lanes values) {
    Half halves[2];
    std::memcpy(halves, &values, sizeof values);
    const Half half = halves[0] + halves[1];
    Quarter quarters[2];
    std::memcpy(quarters, &half, sizeof half);
    const Quarter quarter = quarters[0] + quarters[1];
    return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
}

// e to the power of each lane, at most 0, within 2e-7 of it; a NaN stays one. Cephes' polynomial for float32.
inline Lanes exponential(Lanes power) {
    const Lanes least = Lanes{} - 87.0f;
    const Lanes inside = power < least ? least : power;
    const Lanes magic = Lanes{} + 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest whole number in the last bits
    const Lanes shifted = inside * 1.44269504088896341f + magic;
    const Lanes twos = shifted - magic;
    const Lanes rest = inside - twos * 0.693359375f - twos * -2.12194440e-4f;
    Lanes series = rest * 1.9875691500e-4f + 1.3981999507e-3f;
    series = series * rest + 8.3334519073e-3f;
    series = series * rest + 4.1665795894e-2f;
    series = series * rest + 1.6666665459e-1f;
    series = series * rest + 5.0000001201e-1f;
    series = series * rest * rest + rest + 1.0f;
    Whole bits, exponent;
    std::memcpy(&bits, &shifted, sizeof bits);
    exponent = (bits - 0x4B400000 + 127) << 23;
    Lanes scale;
    std::memcpy(&scale, &exponent, sizeof scale);
    return series * scale;
}

}  // namespace

extern "C" {

// A linear layer's weights, [out, in]: float32 where there is no scale, else int8 with a scale for each output.
struct Weights {
    const void *numbers;
    const float *scale, *bias;  // [out], or null
    int64_t out, in;
};

// From one layer's attention to the next one's. Before the first layer there is no mlp_norm, out, gate_up and down.
struct Segment {
    Weights out, gate_up, down;
    const float *mlp_norm;  // [hidden]
    const float *norm;      // [hidden], before the product that follows
    Weights next;           // queries, keys and values of the next layer, or the model's head
    int64_t queries, turned;  // heads of that product that are queries, and that are rotated; 0 for the model's head
    const float *query_norm, *key_norm;  // [width], of each head before it is rotated, or null
};

struct Step {
    int64_t rows, threads, hidden_size, width;
    float eps;
    float *hidden;          // [rows, hidden]
    const float *cosine, *sine;  // [rows, width]
    float *scratch;         // threads x rows x hidden, then rows x intermediate
};

// Keys and values [key-value heads, tokens, width] that one row sees, or all of them (row -1).
struct Source {
    float *keys, *values;
    int64_t key_stride, value_stride;  // from one head to the next
    int64_t tokens, row;
};

struct Attention {
    int64_t rows, heads, kv_heads, width, threads, sources;
    int64_t query_stride, key_stride, value_stride;  // from one row to the next
    float scale;
    const float *query, *key, *value;  // [rows, (key-value) heads, width]
    const Source *source;              // a row's own source ends with its new token, which is written first
    float *out;                        // [rows, heads, width]
    float *scratch;                    // tasks x queries x (width + 2)
};

}  // extern "C"

namespace {

template <int ROWS, typename Number>
inline void dots(const Number *weights, const float *given, int64_t in, float *sums) {
    Lanes even[ROWS] = {}, odd[ROWS] = {};
    int64_t at = 0;
    for (; at + 2 * LANES <= in; at += 2 * LANES) {
        const Lanes first = load(weights + at), second = load(weights + at + LANES);
        for (int row = 0; row < ROWS; ++row) {
            even[row] += first * load(given + row * in + at);
            odd[row] += second * load(given + row * in + at + LANES);
        }
    }
    for (int row = 0; row < ROWS; ++row) {
        float rest = 0;
        for (int64_t left = at; left < in; ++left) rest += static_cast<float>(weights[left]) * given[row * in + left];
        sums[row] = sum(even[row] + odd[row]) + rest;
    }
}

// Sums of all rows for one output.
template <int ROWS>
inline void product(const Weights &weights, int64_t output, const float *given, float *sums) {
    const int64_t first = output * weights.in;
    if (weights.scale) {
        dots<ROWS>(static_cast<const int8_t *>(weights.numbers) + first, given, weights.in, sums);
        for (int row = 0; row < ROWS; ++row) sums[row] *= weights.scale[output];
    } else {
        dots<ROWS>(static_cast<const float *>(weights.numbers) + first, given, weights.in, sums);
    }
    if (weights.bias)
        for (int row = 0; row < ROWS; ++row) sums[row] += weights.bias[output];
}

template <int ROWS>
void normalise(const float *hidden, const float *weight, int64_t size, float eps, float *normed) {
    for (int row = 0; row < ROWS; ++row) {
        const float *from = hidden + row * size;
        float squares;
        dots<1>(from, from, size, &squares);
        const float factor = 1.0f / std::sqrt(squares / static_cast<float>(size) + eps);
        for (int64_t at = 0; at < size; ++at) normed[row * size + at] = from[at] * factor * weight[at];
    }
}

template <int ROWS>
void add_product(const Step &step, const Weights &weights, const float *given) {
#pragma omp for schedule(static)
    for (int64_t output = 0; output < weights.out; ++output) {
        float sums[ROWS];
        product<ROWS>(weights, output, given, sums);
        for (int row = 0; row < ROWS; ++row) step.hidden[row * step.hidden_size + output] += sums[row];
    }
}

template <int ROWS>
void gated(const Weights &weights, const float *normed, float *active) {
    const int64_t inner = weights.out / 2;
#pragma omp for schedule(static)
    for (int64_t output = 0; output < inner; ++output) {
        float gate[ROWS], up[ROWS];
        product<ROWS>(weights, output, normed, gate);
        product<ROWS>(weights, output + inner, normed, up);
        for (int row = 0; row < ROWS; ++row)
            active[row * inner + output] = gate[row] / (1.0f + std::exp(-gate[row])) * up[row];
    }
}

// Rotates a head by halves: the first half's pair of a number is half a width further on.
inline void turn(const float *head, const float *cosine, const float *sine, int64_t width, float *turned) {
    const int64_t half = width / 2;
    for (int64_t at = 0; at < half; ++at) {
        turned[at] = head[at] * cosine[at] - head[at + half] * sine[at];
        turned[at + half] = head[at + half] * cosine[at + half] + head[at] * sine[at + half];
    }
}

template <int ROWS>
void turned_product(const Segment &segment, const Step &step, const float *normed, float *made) {
    const int64_t width = step.width, out = segment.next.out;
#pragma omp for schedule(static, 1) nowait
    for (int64_t head = 0; head < segment.turned; ++head) {
        float states[ROWS][MOST_WIDTH];
        for (int64_t at = 0; at < width; ++at) {
            float sums[ROWS];
            product<ROWS>(segment.next, head * width + at, normed, sums);
            for (int row = 0; row < ROWS; ++row) states[row][at] = sums[row];
        }
        const float *norm = head < segment.queries ? segment.query_norm : segment.key_norm;
        for (int row = 0; row < ROWS; ++row) {
            if (norm) normalise<1>(states[row], norm, width, step.eps, states[row]);
            turn(states[row], step.cosine + row * width, step.sine + row * width, width, made + row * out + head * width);
        }
    }
#pragma omp for schedule(static)
    for (int64_t output = segment.turned * width; output < out; ++output) {
        float sums[ROWS];
        product<ROWS>(segment.next, output, normed, sums);
        for (int row = 0; row < ROWS; ++row) made[row * out + output] = sums[row];
    }
}

template <int ROWS>
void run(const Segment &segment, const Step &step, const float *attended, float *made) {
    const int64_t size = step.hidden_size;
    float *normed = step.scratch + omp_get_thread_num() * ROWS * size;  // each thread's own: none waits for another
    float *active = step.scratch + step.threads * ROWS * size;
    if (attended) {
        add_product<ROWS>(step, segment.out, attended);
        normalise<ROWS>(step.hidden, segment.mlp_norm, size, step.eps, normed);
        gated<ROWS>(segment.gate_up, normed, active);
        add_product<ROWS>(step, segment.down, active);
    }
    normalise<ROWS>(step.hidden, segment.norm, size, step.eps, normed);
    turned_product<ROWS>(segment, step, normed, made);
}

// Attention of some queries, [QUERIES, WIDE lanes], over a chunk of keys: for each query the largest score, the sum of
// powers and the values weighted by them. Each key and value is loaded once.
template <int WIDE, int QUERIES>
void attend_queries(const float *query, const float *keys, const float *values, int64_t count, float scale, float *made) {
    constexpr int64_t width = WIDE * LANES;
    float scores[QUERIES][CHUNK] __attribute__((aligned(64)));
    for (int64_t key = 0; key < count; ++key) {
        Lanes partial[QUERIES] = {};
        for (int at = 0; at < WIDE; ++at) {
            const Lanes part = load(keys + key * width + at * LANES);
            for (int own = 0; own < QUERIES; ++own) partial[own] += part * load(query + own * width + at * LANES);
        }
        for (int own = 0; own < QUERIES; ++own) scores[own][key] = sum(partial[own]) * scale;
    }
    const int64_t whole = (count + LANES - 1) / LANES * LANES;
    for (int own = 0; own < QUERIES; ++own) {
        float highest = -INFINITY;
        for (int64_t key = 0; key < count; ++key) highest = std::max(highest, scores[own][key]);
        for (int64_t key = count; key < whole; ++key) scores[own][key] = -INFINITY;
        Lanes total = {};
        for (int64_t key = 0; key < whole; key += LANES) {
            Lanes powers = exponential(load(scores[own] + key) - highest);
            for (int64_t lane = count - key; lane < LANES; ++lane) powers[lane] = 0;  // past the end
            store(scores[own] + key, powers);
            total += powers;
        }
        made[own * (width + 2)] = highest;
        made[own * (width + 2) + 1] = sum(total);
    }
    Lanes mean[QUERIES][WIDE] = {};
    for (int64_t key = 0; key < count; ++key)
        for (int at = 0; at < WIDE; ++at) {
            const Lanes part = load(values + key * width + at * LANES);
            for (int own = 0; own < QUERIES; ++own) mean[own][at] += scores[own][key] * part;
        }
    for (int own = 0; own < QUERIES; ++own)
        for (int at = 0; at < WIDE; ++at) store(made + own * (width + 2) + 2 + at * LANES, mean[own][at]);
}

// One task: the queries of one head's group, of one row or of all, over a chunk of the head's keys.
template <int WIDE>
void attend_chunk(const Attention &attention, const Source &source, int64_t head, int64_t start, float *made) {
    constexpr int64_t width = WIDE * LANES;
    const int64_t group = attention.heads / attention.kv_heads, count = std::min(CHUNK, source.tokens - start);
    const float *keys = source.keys + head * source.key_stride + start * width;
    const float *values = source.values + head * source.value_stride + start * width;
    const int64_t first = source.row < 0 ? 0 : source.row, last = source.row < 0 ? attention.rows : first + 1;
    for (int64_t row = first; row < last; ++row) {
        const float *query = attention.query + row * attention.query_stride + head * group * width;
        for (int64_t left = group; left > 0;) {
            const int64_t taken = std::min<int64_t>(left, 4);
            switch (taken) {
                case 1: attend_queries<WIDE, 1>(query, keys, values, count, attention.scale, made); break;
                case 2: attend_queries<WIDE, 2>(query, keys, values, count, attention.scale, made); break;
                case 3: attend_queries<WIDE, 3>(query, keys, values, count, attention.scale, made); break;
                case 4: attend_queries<WIDE, 4>(query, keys, values, count, attention.scale, made); break;
            }
            left -= taken, query += taken * width, made += taken * (width + 2);
        }
    }
}

// Joins what the tasks made for one query: a mean weighted by their sums of powers.
void join(const Attention &attention, int64_t row, int64_t own, int64_t task_floats) {
    const int64_t width = attention.width, group = attention.heads / attention.kv_heads;
    const int64_t head = own / group, member = own % group;
    float *out = attention.out + (row * attention.heads + own) * width;
    float highest = -INFINITY, total = 0;
    std::fill(out, out + width, 0.0f);
    const float *made = attention.scratch;
    for (int64_t number = 0; number < attention.sources; ++number) {
        const Source &source = attention.source[number];
        const int64_t chunks = (source.tokens + CHUNK - 1) / CHUNK;
        const int64_t place = ((source.row < 0 ? row * group : 0) + member) * (width + 2);
        const bool seen = source.row < 0 || source.row == row;
        for (int64_t chunk = 0; seen && chunk < chunks; ++chunk) {
            const float *part = made + (head * chunks + chunk) * task_floats + place;
            const float before = part[0] > highest ? std::exp(highest - part[0]) : 1.0f;
            highest = std::max(highest, part[0]);
            const float share = std::exp(part[0] - highest);
            total = total * before + share * part[1];
            for (int64_t at = 0; at < width; ++at) out[at] = out[at] * before + share * part[2 + at];
        }
        made += chunks * attention.kv_heads * task_floats;
    }
    for (int64_t at = 0; at < width; ++at) out[at] /= total;
}

}  // namespace

extern "C" {

// Reads attention's outputs, [rows, heads x width], or null before the first layer; writes [rows, out of next].
void rmtbench_segment(const Segment *segment, const Step *step, const float *attended, float *made) {
#pragma omp parallel num_threads(static_cast<int>(step->threads))
    switch (step->rows) {
        case 1: run<1>(*segment, *step, attended, made); break;
        case 2: run<2>(*segment, *step, attended, made); break;
        case 3: run<3>(*segment, *step, attended, made); break;
        case 4: run<4>(*segment, *step, attended, made); break;
        case 5: run<5>(*segment, *step, attended, made); break;
        case 6: run<6>(*segment, *step, attended, made); break;
        case 7: run<7>(*segment, *step, attended, made); break;
        case 8: run<8>(*segment, *step, attended, made); break;
    }
}

void rmtbench_attend(const Attention *attention) {
    const int64_t width = attention->width, heads = attention->kv_heads, group = attention->heads / heads;
    const int64_t most = attention->rows * group * (width + 2);  // floats that one task makes at most
#pragma omp parallel num_threads(static_cast<int>(attention->threads))
    {
#pragma omp for schedule(static)
        for (int64_t number = 0; number < attention->sources * heads; ++number) {
            const Source &source = attention->source[number / heads];
            const int64_t head = number % heads;
            if (source.row < 0) continue;
            const int64_t last = (source.tokens - 1) * width;
            std::memcpy(source.keys + head * source.key_stride + last,
                        attention->key + source.row * attention->key_stride + head * width, width * sizeof(float));
            std::memcpy(source.values + head * source.value_stride + last,
                        attention->value + source.row * attention->value_stride + head * width, width * sizeof(float));
        }
        int64_t before = 0;
        for (int64_t number = 0; number < attention->sources; ++number) {
            const Source &source = attention->source[number];
            const int64_t chunks = (source.tokens + CHUNK - 1) / CHUNK, tasks = chunks * heads;
#pragma omp for schedule(static) nowait
            for (int64_t task = 0; task < tasks; ++task) {
                const int64_t head = task / chunks, start = task % chunks * CHUNK;
                float *made = attention->scratch + (before + task) * most;
                switch (width / LANES) {
                    case 1: attend_chunk<1>(*attention, source, head, start, made); break;
                    case 2: attend_chunk<2>(*attention, source, head, start, made); break;
                    case 4: attend_chunk<4>(*attention, source, head, start, made); break;
                    case 5: attend_chunk<5>(*attention, source, head, start, made); break;
                    case 6: attend_chunk<6>(*attention, source, head, start, made); break;
                    case 8: attend_chunk<8>(*attention, source, head, start, made); break;
                }
            }
            before += tasks;
        }
#pragma omp barrier
#pragma omp for schedule(static)
        for (int64_t number = 0; number < attention->rows * attention->heads; ++number)
            join(*attention, number / attention->heads, number % attention->heads, most);
    }
}

}  // extern "C"
