// Programs that live on memory, for one source compiled twice: with pointers of 32 and of 64 bits.
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef __SIZE_TYPE__ size;

#define EXPORT(name) __attribute__((export_name(#name))) u32 name

static u8 heap[1 << 24];

static u32 random_state;
static u32 next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

// Primes below 2^22.
EXPORT(sieve)(u32 rounds) {
    const size n = 1 << 22;
    u32 count = 0;
    while (rounds--) {
        for (size i = 0; i < n; i++) heap[i] = 1;
        for (size i = 2; i * i < n; i++)
            if (heap[i])
                for (size j = i * i; j < n; j += i) heap[j] = 0;
        count = 0;
        for (size i = 2; i < n; i++) count += heap[i];
    }
    return count;
}

static void sort(u32 *low, u32 *high) {
    while (high - low > 12) {
        u32 pivot = low[(high - low) / 2], *i = low, *j = high - 1;
        for (;;) {
            while (*i < pivot) i++;
            while (*j > pivot) j--;
            if (i >= j) break;
            u32 t = *i; *i++ = *j; *j-- = t;
        }
        if (i - low < high - i) { sort(low, i); low = i; } else { sort(i, high); high = i; }
    }
    for (u32 *i = low + 1; i < high; i++) {
        u32 value = *i, *j = i;
        for (; j > low && j[-1] > value; j--) *j = j[-1];
        *j = value;
    }
}

EXPORT(quicksort)(u32 rounds) {
    u32 *list = (u32 *)heap, n = 1 << 19, sum = 0;
    while (rounds--) {
        random_state = 42;
        for (u32 i = 0; i < n; i++) list[i] = next_random();
        sort(list, list + n);
        for (u32 i = 0; i < n; i += 1000) sum += list[i];
    }
    return sum;
}

EXPORT(matrix)(u32 rounds) {
    enum { N = 200 };
    double (*a)[N] = (double (*)[N])heap, (*b)[N] = a + N, (*c)[N] = b + N;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) { a[i][j] = i + j; b[i][j] = i - j; }
    while (rounds--)
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                double sum = 0;
                for (int k = 0; k < N; k++) sum += a[i][k] * b[k][j];
                c[i][j] = sum;
            }
    return (u32)c[7][9];
}

struct node { struct node *next; u32 key, value; };

// A table with chains: pointers in memory.
EXPORT(chains)(u32 rounds) {
    enum { BUCKETS = 1 << 14, NODES = 1 << 17 };
    struct node **buckets = (struct node **)heap;
    struct node *nodes = (struct node *)(heap + (1 << 20));
    u32 sum = 0;
    while (rounds--) {
        for (u32 i = 0; i < BUCKETS; i++) buckets[i] = 0;
        random_state = 7;
        for (u32 i = 0; i < NODES; i++) {
            u32 key = next_random();
            struct node **bucket = &buckets[key % BUCKETS];
            nodes[i] = (struct node){*bucket, key, i};
            *bucket = &nodes[i];
        }
        random_state = 7;
        for (u32 i = 0; i < NODES; i++) {
            u32 key = next_random();
            struct node *at = buckets[key % BUCKETS];
            while (at && at->key != key) at = at->next;
            if (at) sum += at->value;
        }
    }
    return sum;
}

// Compression by repetition: bytes, tables of positions.
EXPORT(lz)(u32 rounds) {
    u8 *in = heap, *out = heap + (1 << 21);
    u32 *table = (u32 *)(heap + (1 << 23)), n = 1 << 20, written = 0;
    random_state = 3;
    for (u32 i = 0; i < n; i++) in[i] = "the quick brown fox "[next_random() % 5 + (i / 64) % 16];
    while (rounds--) {
        for (u32 i = 0; i < 1 << 14; i++) table[i] = 0;
        u32 i = 0, o = 0;
        while (i + 4 < n) {
            u32 word = in[i] | in[i + 1] << 8 | in[i + 2] << 16 | (u32)in[i + 3] << 24;
            u32 *entry = &table[word * 2654435761u >> 18], at = *entry, length = 0;
            *entry = i;
            if (at < i) while (i + length < n && length < 255 && in[at + length] == in[i + length]) length++;
            if (length >= 4) {
                out[o++] = 0; out[o++] = (u8)length; out[o++] = (u8)(i - at); out[o++] = (u8)((i - at) >> 8);
                i += length;
            } else out[o++] = in[i++];
        }
        written = o;
    }
    return written;
}

// SHA-256's message schedule and rounds.
EXPORT(sha)(u32 rounds) {
    u32 *k = (u32 *)heap, *w = k + 64, h[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    random_state = 9;
    for (u32 i = 0; i < 64; i++) k[i] = next_random();
#define ROT(x, n) ((x) >> (n) | (x) << (32 - (n)))
    while (rounds--) {
        for (u32 i = 0; i < 16; i++) w[i] = next_random();
        for (u32 i = 16; i < 64; i++)
            w[i] = w[i - 16] + w[i - 7] + (ROT(w[i - 15], 7) ^ ROT(w[i - 15], 18) ^ w[i - 15] >> 3) +
                   (ROT(w[i - 2], 17) ^ ROT(w[i - 2], 19) ^ w[i - 2] >> 10);
        u32 s[8];
        for (u32 i = 0; i < 8; i++) s[i] = h[i];
        for (u32 i = 0; i < 64; i++) {
            u32 t1 = s[7] + (ROT(s[4], 6) ^ ROT(s[4], 11) ^ ROT(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
            u32 t2 = (ROT(s[0], 2) ^ ROT(s[0], 13) ^ ROT(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
            for (u32 j = 7; j; j--) s[j] = s[j - 1];
            s[4] += t1;
            s[0] = t1 + t2;
        }
        for (u32 i = 0; i < 8; i++) h[i] += s[i];
    }
    return h[0];
}
