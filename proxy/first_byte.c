#include "proxy/first_byte.h"

/* The slowest 1 in 20 of a window, and the one below them. */
enum { TOP_MAX = FIRST_BYTE_WINDOW / 20 + 1 };

/* Keep the `n` largest, in falling order. */
static void keep_largest(uint32_t *top, size_t n, uint32_t us)
{
    size_t i = n;
    if (us <= top[n - 1]) return;
    for (; i > 1 && top[i - 2] < us; i--) top[i - 1] = top[i - 2];
    top[i - 1] = us;
}

static uint32_t p95_of(const struct first_byte_times *t, size_t known)
{
    uint32_t top[TOP_MAX] = { 0 };
    size_t n = known / 20 + 1;
    for (size_t i = 0; i < known; i++) keep_largest(top, n, atomic_load_explicit(&t->us[i], memory_order_relaxed));
    return top[n - 1];
}

void first_byte_note(struct first_byte_times *t, int64_t us)
{
    uint32_t value = us < 1 ? 1 : us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
    uint64_t before = atomic_fetch_add_explicit(&t->count, 1, memory_order_relaxed), count = before + 1;
    atomic_store_explicit(&t->us[before % FIRST_BYTE_WINDOW], value, memory_order_relaxed);
    if (count < FIRST_BYTE_LEAST || count % FIRST_BYTE_EVERY != 0) return;
    size_t known = count < FIRST_BYTE_WINDOW ? (size_t)count : FIRST_BYTE_WINDOW;
    atomic_store_explicit(&t->p95_us, p95_of(t, known), memory_order_relaxed);
}

int64_t first_byte_p95_us(const struct first_byte_times *t)
{
    uint32_t us = atomic_load_explicit(&t->p95_us, memory_order_relaxed);
    return us > 0 ? (int64_t)us : -1;
}
