// Philox4x32-10 (Salmon et al. 2011): four random words, a pure function of counter and key; as backends/philox.py.
#pragma once

enum { PURPOSE_SHUFFLE = 1, PURPOSE_DROPOUT = 2, PURPOSE_NOISE = 3 };

struct Words {
    unsigned int word[4];
};

__device__ inline Words philox(
    unsigned int c0, unsigned int c1, unsigned int c2, unsigned int c3, unsigned int k0, unsigned int k1) {
    for (int round = 0; round < 10; ++round) {
        const unsigned long long p0 = 0xD2511F53ull * c0;
        const unsigned long long p1 = 0xCD9E8D57ull * c2;
        c0 = (unsigned int)(p1 >> 32) ^ c1 ^ k0;
        c1 = (unsigned int)p1;
        c2 = (unsigned int)(p0 >> 32) ^ c3 ^ k1;
        c3 = (unsigned int)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}
