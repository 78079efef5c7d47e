/* Multiply-adds on registers alone: what a core can do at best. */
#if defined(__AVX512F__)
enum { LANES = 16 };
#elif defined(__AVX__)
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif
typedef float vector __attribute__((vector_size(4 * LANES)));

/* Computes, and returns how many floating-point operations that took. */
double peak(long rounds, float *out) {
    enum { CHAINS = 12 };
    vector sums[CHAINS];
    for (int i = 0; i < CHAINS; i++) sums[i] = (vector){} + (float)i;
    vector factor = (vector){} + out[0], term = (vector){} + out[1];
    for (long n = 0; n < rounds; n++)
        for (int i = 0; i < CHAINS; i++) sums[i] = sums[i] * factor + term;
    for (int i = 0; i < CHAINS; i++)
        for (int j = 0; j < LANES; j++) out[j] += sums[i][j];
    return 2.0 * CHAINS * LANES * rounds;
}
