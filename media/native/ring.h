/* Lock-free rings of fixed-size items between exactly one producer and one consumer thread.
 *
 * Commands, events and recorded audio travel in these. Nobody ever waits here: a full ring refuses.
 */
#ifndef MEDIA_RING_H
#define MEDIA_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct ring {
    _Alignas(64) _Atomic uint32_t head; /* next to read, moved by the consumer */
    _Alignas(64) _Atomic uint32_t tail; /* next to write, moved by the producer */
    _Alignas(64) uint32_t mask;
    uint32_t item_size;
    uint8_t *items;
};

/* `capacity` is a power of two. */
static inline bool ring_create(struct ring *ring, uint32_t capacity, uint32_t item_size)
{
    atomic_init(&ring->head, 0);
    atomic_init(&ring->tail, 0);
    ring->mask = capacity - 1;
    ring->item_size = item_size;
    ring->items = calloc(capacity, item_size);
    return ring->items != NULL;
}

static inline void ring_destroy(struct ring *ring)
{
    free(ring->items);
    ring->items = NULL;
}

/* Producer: the place of the next item, or NULL when the ring is full. */
static inline void *ring_reserve(struct ring *ring)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail - atomic_load_explicit(&ring->head, memory_order_acquire) > ring->mask)
        return NULL;
    return ring->items + (size_t)(tail & ring->mask) * ring->item_size;
}

/* Producer: the reserved item is complete. Sequentially consistent, so that a sleeper's flag read after it is fresh. */
static inline void ring_commit(struct ring *ring)
{
    atomic_fetch_add(&ring->tail, 1);
}

/* Consumer: the oldest item, or NULL when the ring is empty. */
static inline void *ring_peek(struct ring *ring)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (head == atomic_load(&ring->tail))
        return NULL;
    return ring->items + (size_t)(head & ring->mask) * ring->item_size;
}

/* Consumer: done with the oldest item. */
static inline void ring_pop(struct ring *ring)
{
    atomic_fetch_add_explicit(&ring->head, 1, memory_order_release);
}

#endif
