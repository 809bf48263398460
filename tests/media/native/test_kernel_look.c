/* The worker looks at a stream while the kernel goes on with it: on its own processor, in the middle of what it does. */
#define _GNU_SOURCE /* REG_EFL */
#include "steps.h"
#include "kernel_calls.h"

#include <signal.h>
#include <ucontext.h>

#if defined(__x86_64__)

#define TRAP 0x100ull /* a flag of the processor's: after the next instruction it traps (SIGTRAP) */
#define MOST_STEPS 20000

static uint32_t steps, chosen; /* of a look; at which the packet comes */
static uint64_t passed;
static int64_t began;

/* The whole of a packet, as in a softirq. */
static void pass_one(void)
{
    passed++;
    CHECK(program_count(&relay.flows[0], FRAME_SAMPLES, began + (int64_t)passed * FRAME_NS));
}

static void step(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    if (++steps < chosen)
        return;
    pass_one();
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP;
}

/* Nothing is lost, so all figures are of one packet. */
static void check_whole(void)
{
    const struct receiver *receiver = &worker.endpoints[0].receiver;
    const struct line *line = &worker.endpoints[1].line;
    uint32_t told = receiver->received - STEADY;
    CHECK(receiver->highest - receiver->base + 1 == receiver->received);
    CHECK(worker.endpoints[0].quiet_from == began + told * FRAME_NS && line->clock_at == began + told * FRAME_NS);
    CHECK(line->in_timestamp == talkers[0].timestamp + (told - 1) * FRAME_SAMPLES);
    CHECK(line->packets == receiver->received && worker.totals.packets_in == receiver->received);
    CHECK(receiver->transit == (uint32_t)(line->in_at / SAMPLE_NS) - line->in_timestamp);
}

static void interrupted_look(uint32_t at)
{
    steps = 0;
    chosen = at;
    __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | TRAP);
    kernel_relay_look(&worker, &worker.endpoints[0]);
    __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~TRAP);
}

static void test_a_look_is_never_of_half_a_packet(void)
{
    struct sigaction action = {.sa_sigaction = step, .sa_flags = SA_SIGINFO};
    CHECK(!sigaction(SIGTRAP, &action, NULL));
    call_of(160, true);
    talk(0, STEADY);
    began = worker.now;
    CHECK(active(0));
    do {
        pass_one();
        interrupted_look(chosen + 1);
        check_whole();
        CHECK(chosen < MOST_STEPS);
    } while (steps == chosen);
    kernel_relay_take_back(&worker, &worker.endpoints[0]);
    check_whole();
    CHECK(worker.endpoints[0].receiver.received == STEADY + passed && chosen > 30);
    call_over();
}

int main(void)
{
    test_a_look_is_never_of_half_a_packet();
    puts("ok");
    return 0;
}

#else

int main(void)
{
    puts("ok");
    return 0;
}

#endif
