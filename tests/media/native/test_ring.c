/* The rings between threads under the thread sanitizer: every item arrives once, whole and in its order, none waits.
 *
 * Compiled and run by tests/media/native/test_core.py.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "../../../media/native/ring.h"

#define ITEMS 200000
#define CAPACITY 64

struct item {
    uint32_t number, copies[15];
};

static struct ring ring;
static uint64_t refused;

static void *produce(void *unused)
{
    for (uint32_t number = 0; number < ITEMS;) {
        struct item *item = ring_reserve(&ring);
        if (!item) {
            refused++;
            sched_yield();
            continue;
        }
        item->number = number++;
        for (int i = 0; i < 15; i++)
            item->copies[i] = item->number;
        ring_commit(&ring);
    }
    return unused;
}

static int consume(void)
{
    for (uint32_t number = 0; number < ITEMS;) {
        const struct item *item = ring_peek(&ring);
        if (!item) {
            sched_yield();
            continue;
        }
        for (int i = 0; i < 15; i++)
            if (item->number != number || item->copies[i] != number)
                return 1;
        ring_pop(&ring);
        number++;
    }
    return ring_peek(&ring) != NULL;
}

int main(void)
{
    pthread_t producer;
    if (!ring_create(&ring, CAPACITY, sizeof(struct item)) || pthread_create(&producer, NULL, produce, NULL))
        return 1;
    int wrong = consume();
    pthread_join(producer, NULL);
    ring_destroy(&ring);
    puts(wrong ? "an item was lost, torn or out of order" : "ok");
    return wrong;
}
