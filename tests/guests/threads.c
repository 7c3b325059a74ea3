// Threads without a C library: the host starts them, each with an instance of its own on one shared
// memory. Producers pass numbers to consumers through a queue with a lock and two conditions.
//
// Rebuilt by tests/guests/threads.sh.

#define EXPORT(name) __attribute__((export_name(#name))) name

enum { THREADS_MAX = 16, STACK_BYTES = 65536, TLS_BYTES = 256, QUEUE = 8 };

static _Alignas(16) char stacks[THREADS_MAX][STACK_BYTES];
static _Alignas(16) char locals[THREADS_MAX][TLS_BYTES];

// Before anything else of an instance: where its stack ends, and its thread's own data.
char *EXPORT(stack_top)(int thread) { return stacks[thread] + STACK_BYTES; }
char *EXPORT(local_data)(int thread) { return locals[thread]; }

typedef _Atomic int Word;

static void wait_for(Word *word, int value) {
    __builtin_wasm_memory_atomic_wait32((int *)word, value, -1);
}

static void wake(Word *word, unsigned count) {
    __builtin_wasm_memory_atomic_notify((int *)word, count);
}

// 0: free, 1: taken, 2: taken, and others wait.
static void lock(Word *word) {
    int was = 0;
    if (__c11_atomic_compare_exchange_strong(word, &was, 1, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return;
    while (__c11_atomic_exchange(word, 2, __ATOMIC_SEQ_CST) != 0) wait_for(word, 2);
}

static void unlock(Word *word) {
    if (__c11_atomic_exchange(word, 0, __ATOMIC_SEQ_CST) == 2) wake(word, 1);
}

// A condition is a count of its signals.
static void wait_on(Word *condition, Word *mutex) {
    int seen = __c11_atomic_load(condition, __ATOMIC_SEQ_CST);
    unlock(mutex);
    wait_for(condition, seen);
    lock(mutex);
}

static void signal_all(Word *condition) {
    __c11_atomic_fetch_add(condition, 1, __ATOMIC_SEQ_CST);
    wake(condition, ~0u);
}

static Word mutex, not_empty, not_full, arrived, gate;
static long long queue[QUEUE];
static int first, count;
static _Atomic long long total = 1000; // Data of the module: copied by the first instance only.
static _Thread_local long long own = 5;

static void put(long long value) {
    lock(&mutex);
    while (count == QUEUE) wait_on(&not_full, &mutex);
    queue[(first + count++) % QUEUE] = value;
    signal_all(&not_empty);
    unlock(&mutex);
}

static long long take(void) {
    lock(&mutex);
    while (count == 0) wait_on(&not_empty, &mutex);
    long long value = queue[first];
    first = (first + 1) % QUEUE;
    --count;
    signal_all(&not_full);
    unlock(&mutex);
    return value;
}

static void meet(int threads) {
    if (__c11_atomic_fetch_add(&arrived, 1, __ATOMIC_SEQ_CST) + 1 == threads) {
        __c11_atomic_store(&gate, 1, __ATOMIC_SEQ_CST);
        wake(&gate, ~0u);
    }
    while (__c11_atomic_load(&gate, __ATOMIC_SEQ_CST) == 0) wait_for(&gate, 0);
}

// On the stack, so that it matters whose stack it is.
static long long churn(int thread, int rounds) {
    volatile long long scratch[64];
    for (int i = 0; i < 64; ++i) scratch[i] = thread;
    for (int i = 0; i < rounds; ++i) {
        if (thread % 2 == 0) put(i + 1);
        else own += take();
    }
    for (int i = 0; i < 64; ++i)
        if (scratch[i] != thread) __builtin_trap();
    return own;
}

// Even threads produce, odd ones consume; there are as many of both.
long long EXPORT(run)(int thread, int threads, int rounds) {
    meet(threads);
    long long sum = churn(thread, rounds);
    __c11_atomic_fetch_add(&total, sum, __ATOMIC_SEQ_CST);
    return sum;
}

long long EXPORT(sum)(void) { return __c11_atomic_load(&total, __ATOMIC_SEQ_CST); }
