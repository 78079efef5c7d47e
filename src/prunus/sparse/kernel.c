/* y = x W^T + b for a W of which only runs of 1, 4, 16 or 32 neighbouring outputs are held.

   A panel is as many outputs as a run is long; its runs lie one after the other, in the order of
   their inputs: values[run][output], columns[run], and starts[panel] is the panel's first run.
   x [tokens, inputs] and y [tokens, outputs] are row-major; bias and the last panel are padded with
   zeros to whole panels. Vectors are those of GCC and Clang, as wide as the target's. */
#define _POSIX_C_SOURCE 200112L
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
enum { LANES = 16, REGISTERS = 32 };
#define LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif defined(__AVX__)
enum { LANES = 8, REGISTERS = 16 };
#define LOW 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
enum { LANES = 4, REGISTERS = 16 };
#define LOW 0, 4, 1, 5
#define HIGH 2, 6, 3, 7
#endif

#define INLINE static inline __attribute__((always_inline))

enum { SUMS = REGISTERS * 3 / 4, TILE = 12, WIDE = 2 };

/* A thread is worth starting for so many products. */
enum { THREADS = 64, GRAIN = 1 << 22 };

typedef float vector __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));

struct layer {
    const float *x, *values, *bias;
    const int64_t *starts;
    const int32_t *columns;
    float *y;
    int64_t tokens, inputs, outputs, rows;
};

/* Tokens [t, t_end) times panels [p, p_end) of a layer. */
struct part {
    const struct layer *layer;
    int64_t t, t_end, p, p_end;
};

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Few tokens times one panel, outputs in the lanes: every sum stays in a register. The tokens are a
   copy, padded: where they lie a power of two apart, few lines of the nearest cache can hold them. */
#define ACROSS(NAME, TYPE)                                                                         \
    INLINE void NAME(const struct layer *l, const float *copy, int64_t token, int64_t panel,       \
                     const int tile, const int vectors) {                                          \
        const int lanes = sizeof(TYPE) / sizeof(float), rows = vectors * lanes;                    \
        const int64_t stride = l->inputs + LANES;                                                  \
        TYPE sums[TILE][32 / LANES + 1];                                                           \
        for (int t = 0; t < tile; t++)                                                             \
            for (int v = 0; v < vectors; v++)                                                      \
                sums[t][v] = *(const TYPE *)(l->bias + panel * rows + v * lanes);                  \
        for (int64_t k = l->starts[panel]; k < l->starts[panel + 1]; k++) {                        \
            const TYPE *weights = (const TYPE *)(l->values + k * rows);                            \
            const float *column = copy + l->columns[k];                                            \
            for (int t = 0; t < tile; t++)                                                         \
                for (int v = 0; v < vectors; v++)                                                  \
                    sums[t][v] += weights[v] * column[t * stride];                                 \
        }                                                                                          \
        int64_t left = least(rows, l->outputs - panel * rows);                                     \
        for (int t = 0; t < tile; t++) {                                                           \
            float *y = l->y + (token + t) * l->outputs + panel * rows;                             \
            if (left == rows)                                                                      \
                for (int v = 0; v < vectors; v++)                                                  \
                    *(TYPE *)(y + v * lanes) = sums[t][v];                                         \
            else                                                                                   \
                memcpy(y, sums[t], left * sizeof(float));                                          \
        }                                                                                          \
    }

ACROSS(across_one, float)
ACROSS(across_quad, quad)
ACROSS(across_vectors, vector)

/* The loop over panels, once for every number of tokens. */
#define PANELS(N, CALL, VECTORS)                                                                   \
    case N:                                                                                        \
        for (int64_t p = part.p; p < part.p_end; p++)                                              \
            CALL(part.layer, copy, part.t, p, N, VECTORS);                                         \
        break;
#define TILES(CALL, VECTORS)                                                                       \
    switch (part.t_end - part.t) {                                                                 \
        PANELS(1, CALL, VECTORS) PANELS(2, CALL, VECTORS) PANELS(3, CALL, VECTORS)                 \
        PANELS(4, CALL, VECTORS) PANELS(5, CALL, VECTORS) PANELS(6, CALL, VECTORS)                 \
        PANELS(7, CALL, VECTORS) PANELS(8, CALL, VECTORS) PANELS(9, CALL, VECTORS)                 \
        PANELS(10, CALL, VECTORS) PANELS(11, CALL, VECTORS) PANELS(12, CALL, VECTORS)              \
    }

static void across(struct part part, float *copy) {
    const struct layer *l = part.layer;
    for (int64_t t = part.t; t < part.t_end; t++)
        memcpy(copy + (t - part.t) * (l->inputs + LANES), l->x + t * l->inputs,
               l->inputs * sizeof(float));
    switch (l->rows) {
    case 1: TILES(across_one, 1) break;
    case 4: TILES(across_quad, 1) break;
    case 16: TILES(across_vectors, 16 / LANES) break;
    case 32: TILES(across_vectors, 32 / LANES) break;
    }
}

/* Transpose a square of vectors: each pass interleaves its halves. */
INLINE void flip(vector square[LANES]) {
    for (int pass = 1; pass < LANES; pass *= 2) {
        vector next[LANES];
        for (int i = 0; i < LANES / 2; i++) {
            next[2 * i] = __builtin_shufflevector(square[i], square[i + LANES / 2], LOW);
            next[2 * i + 1] = __builtin_shufflevector(square[i], square[i + LANES / 2], HIGH);
        }
        memcpy(square, next, sizeof(next));
    }
}

/* A square [rows, columns] from one matrix to another, transposed; what lacks is zero. */
INLINE void move(const float *from, int64_t from_stride, float *to, int64_t to_stride, int64_t rows,
                 int64_t columns) {
    vector square[LANES];
    if (rows >= LANES && columns >= LANES) {
        for (int i = 0; i < LANES; i++) square[i] = *(const vector *)(from + i * from_stride);
        flip(square);
        for (int i = 0; i < LANES; i++) *(vector *)(to + i * to_stride) = square[i];
        return;
    }
    for (int64_t i = 0; i < least(rows, LANES); i++)
        for (int64_t j = 0; j < least(columns, LANES); j++)
            to[j * to_stride + i] = from[i * from_stride + j];
}

/* Many tokens, which lie in the lanes: a copy of theirs with tokens innermost is read. */
INLINE void along_tile(struct part part, float *copy, const int rows, const int vectors) {
    const struct layer *l = part.layer;
    const int width = vectors * LANES;
    const int64_t count = part.t_end - part.t;
    const float *x = l->x + part.t * l->inputs;
    float tall[LANES * WIDE * LANES];
    for (int64_t i = 0; i < l->inputs; i += LANES)
        for (int64_t t = 0; t < count; t += LANES)
            move(x + t * l->inputs + i, l->inputs, copy + i * width + t, width, count - t,
                 l->inputs - i);
    for (int64_t p = part.p; p < part.p_end; p++)
        for (int64_t first = p * l->rows; first < (p + 1) * l->rows; first += rows) {
            const float *values = l->values + first % l->rows;
            vector sums[4][WIDE];
            for (int r = 0; r < rows; r++)
                for (int v = 0; v < vectors; v++)
                    sums[r][v] = (vector){} + l->bias[first + r];
            for (int64_t k = l->starts[p]; k < l->starts[p + 1]; k++) {
                const vector *column = (const vector *)(copy + (int64_t)l->columns[k] * width);
                for (int r = 0; r < rows; r++)
                    for (int v = 0; v < vectors; v++)
                        sums[r][v] += column[v] * values[k * l->rows + r];
            }
            const int64_t row = first % LANES, end = first + rows;
            for (int r = 0; r < rows; r++)
                for (int v = 0; v < vectors; v++)
                    *(vector *)(tall + (row + r) * width + v * LANES) = sums[r][v];
            if (row + rows == LANES || end == part.p_end * l->rows)
                for (int64_t t = 0; t < count; t += LANES)
                    move(tall + t, width, l->y + (part.t + t) * l->outputs + first - row,
                         l->outputs, l->outputs - first + row, count - t);
        }
}

static void along(struct part part, float *copy) {
    const int one = part.layer->rows == 1, narrow = part.t_end - part.t <= LANES;
    switch (one * 2 + narrow) {
    case 0: along_tile(part, copy, 4, 2); break;
    case 1: along_tile(part, copy, 4, 1); break;
    case 2: along_tile(part, copy, 1, 2); break;
    case 3: along_tile(part, copy, 1, 1); break;
    }
}

/* Tiles of almost the same number of tokens. */
static void *work(void *given) {
    const struct part all = *(struct part *)given;
    const struct layer *l = all.layer;
    const int64_t count = all.t_end - all.t, vectors = (l->rows + LANES - 1) / LANES;
    const int many = l->rows < 32 && count >= LANES / 2;
    const int64_t tile = many ? WIDE * LANES : least(TILE, SUMS / vectors);
    float *copy = NULL;
    if (posix_memalign((void **)&copy, 64, (l->inputs + LANES) * tile * sizeof(float)))
        return given;
    const int64_t tiles = (count + tile - 1) / tile;
    for (int64_t i = 0; i < tiles; i++) {
        struct part part = all;
        part.t = all.t + count * i / tiles;
        part.t_end = all.t + count * (i + 1) / tiles;
        many ? along(part, copy) : across(part, copy);
    }
    free(copy);
    return NULL;
}

/* Tokens are shared out where there are enough of them, else panels, by whole vectors of outputs. */
static struct part share(const struct layer *l, int64_t i, int64_t threads) {
    const int64_t panels = (l->outputs + l->rows - 1) / l->rows;
    if (l->tokens >= threads * 2 * LANES)
        return (struct part){l, l->tokens * i / threads, l->tokens * (i + 1) / threads, 0, panels};
    const int64_t group = l->rows < LANES ? LANES / l->rows : 1;
    const int64_t groups = (panels + group - 1) / group;
    return (struct part){l, 0, l->tokens, groups * i / threads * group,
                         least(groups * (i + 1) / threads * group, panels)};
}

/* Returns 0, or 1 where there was no memory. */
int prunus_sparse_linear(const float *x, const float *values, const float *bias,
                         const int64_t *starts, const int32_t *columns, float *y, int64_t tokens,
                         int64_t inputs, int64_t outputs, int64_t rows, int64_t threads) {
    const struct layer layer = {x, values, bias, starts, columns, y, tokens, inputs, outputs, rows};
    const int64_t panels = (outputs + rows - 1) / rows;
    struct part parts[THREADS];
    pthread_t started[THREADS];
    int running[THREADS] = {0}, failed = 0;
    threads = least(least(threads, THREADS), 1 + starts[panels] * rows * tokens / GRAIN);
    for (int64_t i = 0; i < threads; i++) {
        parts[i] = share(&layer, i, threads);
        if (i) running[i] = !pthread_create(&started[i], NULL, work, &parts[i]);
    }
    for (int64_t i = 0; i < threads; i++)
        if (!running[i]) failed |= work(&parts[i]) != NULL;
    for (int64_t i = 0; i < threads; i++) {
        void *fault = NULL;
        if (running[i] && !pthread_join(started[i], &fault)) failed |= fault != NULL;
    }
    return failed;
}
