/* Under the thread sanitizer: the worker takes a stream back while other processors are at its packets. */
#include "steps.h"
#include "kernel_calls.h"

#include <sched.h>

#define ROUNDS 2000
#define PROCESSORS 2

static _Atomic bool over;
static _Atomic uint64_t counted;
static _Atomic int64_t now;

/* One that finds another at the stream takes its packet to the socket, as the program does. */
static void *processor(void *unused)
{
    while (!over)
        counted += (uint64_t)program_count(&relay.flows[0], FRAME_SAMPLES, now);
    return unused;
}

static void test_what_was_taken_back_is_the_workers_alone(void)
{
    pthread_t others[PROCESSORS];
    uint64_t by_socket = 0;
    call_of(160, true);
    for (int i = 0; i < PROCESSORS; i++)
        CHECK(!pthread_create(&others[i], NULL, processor, NULL));
    for (uint32_t round = 0; round < ROUNDS; round++) {
        by_socket += STEADY;
        worker.endpoints[0].kernel.patience = STEADY;
        worker.endpoints[0].due_at = worker.endpoints[0].arrivals = 0; /* it is no storm */
        talkers[0].sequence = (uint16_t)(worker.endpoints[0].receiver.highest + 1);
        talkers[0].timestamp = worker.endpoints[1].line.in_timestamp + FRAME_SAMPLES;
        for (uint32_t i = 0; i < STEADY; i++) {
            now = worker.now += FRAME_NS;
            by_socket_only(0);
        }
        CHECK(active(0));
        for (uint64_t before = counted; round % 2 && counted == before;)
            sched_yield(); /* until one has come: then the next may just be coming */
        kernel_relay_take_back(&worker, &worker.endpoints[0]);
        CHECK(!__atomic_load_n(&relay.flows[0].state, __ATOMIC_ACQUIRE));
    }
    over = true;
    for (int i = 0; i < PROCESSORS; i++)
        pthread_join(others[i], NULL);
    CHECK(worker.endpoints[0].receiver.received == by_socket + counted && worker.totals.packets_kernel == counted);
    CHECK(counted >= ROUNDS / 2);
    CHECK(receiver_lost(&worker.endpoints[0].receiver) == 0);
    call_over();
}

int main(void)
{
    test_what_was_taken_back_is_the_workers_alone();
    puts("ok");
    return 0;
}
