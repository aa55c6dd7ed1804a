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

// Words number `place` to `place` + 3 of a stream; a block of them if `place` is a multiple of 4.
__device__ inline Words four_words(
    unsigned long long place, unsigned int c1, unsigned int c2, unsigned int c3, unsigned int k0, unsigned int k1) {
    Words a = philox((unsigned int)(place / 4), c1, c2, c3, k0, k1);
    const unsigned int shift = place % 4;
    if (shift == 0) return a;
    Words b = philox((unsigned int)(place / 4 + 1), c1, c2, c3, k0, k1);
    for (unsigned int turn = 0; turn < 3; ++turn) {
        if (turn >= shift) continue;
        for (int lane = 0; lane < 3; ++lane) a.word[lane] = a.word[lane + 1];
        a.word[3] = b.word[0];
        for (int lane = 0; lane < 3; ++lane) b.word[lane] = b.word[lane + 1];
    }
    return a;
}
