/* Unit tests of the worker's loop: how long it sleeps, what wakes it, whom it obeys and what it says of it all.
 *
 * Compiled with the sanitizers and run by tests/media/native/test_core.py. What they share is in steps.h; the loop looks at
 * the true clock.
 */
#include "steps.h"

#define MOST_NS 2000000 /* that a packet waits for its tick */

static void begin(void)
{
    start();
    worker.wake_fd = eventfd(0, EFD_NONBLOCK);
    worker.event_fd = eventfd(0, EFD_NONBLOCK);
    worker.next_totals = INT64_MAX;
}

static void end(void)
{
    close(worker.wake_fd);
    close(worker.event_fd);
    finish();
}

static uint64_t told(int fd)
{
    eventfd_t count = 0;
    return eventfd_read(fd, &count) ? 0 : count;
}

static void test_a_packet_waits_no_longer_than_two_milliseconds_for_its_tick(void)
{
    begin();
    open_endpoint(0, PCMA, 101);
    for (int tick = 0; tick < 100; tick++) {
        worker_tick(&worker);
        CHECK(worker.next_tick > worker.now && worker.next_tick - worker.now <= MOST_NS);
        worker_sleep(&worker);
        CHECK(waited_until == worker.next_tick);
    }
    worker.next_tick -= SECOND_NS; /* the machine stood still: no ticks are made up for, the next one is in time */
    worker_tick(&worker);
    CHECK(worker.next_tick > worker.now && worker.next_tick - worker.now <= MOST_NS);
    end();
}

/* Ticks keep their grid, so that a tick that was late makes the next no later. */
static void test_a_late_tick_does_not_put_off_the_next(void)
{
    begin();
    open_endpoint(0, PCMA, 101);
    worker_tick(&worker);
    int64_t due = clock_ns() - 100000;
    worker.next_tick = due;
    worker_tick(&worker);
    CHECK(worker.next_tick == due + MOST_NS || worker.now >= due + MOST_NS);
    end();
}

/* A second wake-up is little for many packets, and much for few. */
static void test_where_many_packets_come_each_waits_half_as_long(void)
{
    begin();
    open_endpoint(0, PCMA, 101);
    static const struct { uint32_t come; int64_t next_ns; } ticks[] = {
        {39, MOST_NS}, {0, MOST_NS}, {40, MOST_NS}, {20, MOST_NS / 2}, {20, MOST_NS / 2}, {19, MOST_NS / 2}, {39, MOST_NS},
        {200, MOST_NS}, {0, MOST_NS / 2}, {0, MOST_NS}};
    for (size_t i = 0; i < sizeof ticks / sizeof *ticks; i++) {
        worker.next_tick -= SECOND_NS; /* it is late, so that the next is told by the clock */
        arriving = ticks[i].come;
        worker_tick(&worker);
        CHECK(worker.next_tick - worker.now == ticks[i].next_ns);
    }
    end();
}

/* Nothing to do: no processor time at all, until a command comes. */
static void test_without_calls_it_sleeps_until_it_is_woken(void)
{
    begin();
    worker_sleep(&worker);
    CHECK(waited_until == -1 && !worker.asleep);
    struct command close = {.type = COMMAND_CLOSE, .handle = 1};
    worker.asleep = true;
    CHECK(worker_command(&worker, &close) && told(worker.wake_fd) == 1);
    worker.asleep = false;
    CHECK(worker_command(&worker, &close) && told(worker.wake_fd) == 0); /* it looks each tick, without a system call of ours */
    waited_until = 0;
    worker_sleep(&worker);
    CHECK(waited_until == 0); /* one came as it was about to sleep */
    worker_tick(&worker);
    CHECK(!ring_peek(&worker.commands));
    end();
}

/* The last figures stay true while it sleeps, so they must have been told. */
static void test_the_totals_are_told_before_it_sleeps_for_long(void)
{
    begin();
    struct command close = {.type = COMMAND_CLOSE, .handle = open_endpoint(0, PCMA, 101)};
    worker_obey(&worker, &close);
    count_events(EVENT_CLOSED);
    worker_sleep(&worker);
    const struct event *event = ring_peek(&worker.events);
    CHECK(event && event->type == EVENT_TOTALS && event->totals.endpoints == 0 && told(worker.event_fd) == 1);
    count_events(EVENT_TOTALS);
    worker_sleep(&worker);
    CHECK(!ring_peek(&worker.events)); /* once */
    end();
}

static void test_what_happened_in_a_tick_is_told_once_behind_it(void)
{
    begin();
    worker.next_sweep = INT64_MAX;
    open_endpoint(0, PCMA, 101);
    worker_tick(&worker);
    CHECK(told(worker.event_fd) == 0);
    for (uint16_t key = 0; key < 3; key++)
        give(0, 101, key, 1600u * key, (const uint8_t[]){1, 0x80 | 10, 0, 160}, 4);
    CHECK(told(worker.event_fd) == 0);
    worker_tick(&worker);
    CHECK(told(worker.event_fd) == 1 && count_events(EVENT_DIGIT) == 3);
    end();
}

/* The ring refuses, nobody waits; what is in it is obeyed in its order. */
static void test_commands_beyond_the_rings_room_are_refused(void)
{
    begin();
    struct command command = {.type = COMMAND_CLOSE};
    for (uint32_t i = 0; i < COMMANDS; i++)
        CHECK(worker_command(&worker, &command));
    CHECK(!worker_command(&worker, &command));
    worker_tick(&worker);
    CHECK(worker_command(&worker, &command));
    end();
}

/* Whoever is gone, or has another now, is left alone. */
static void test_commands_for_what_is_gone_do_nothing(void)
{
    begin();
    uint32_t a = open_endpoint(0, PCMA, 101), stale = a + (1u << 16);
    for (int type = COMMAND_CONFIGURE; type < COMMAND_SHUT_DOWN; type++) {
        struct command command = {.type = (enum command_type)type, .handle = stale};
        if (type == COMMAND_FILE)
            command.file.fd = -1;
        if (type != COMMAND_PLAY && type != COMMAND_RECORD) /* those begin something */
            worker_obey(&worker, &command);
    }
    CHECK(worker.open.count == 1 && worker.endpoints[0].configured && worker.endpoints[0].line.open);
    join(a, a);
    CHECK(worker.endpoints[0].peer == NONE);
    end();
}

int main(void)
{
    test_a_packet_waits_no_longer_than_two_milliseconds_for_its_tick();
    test_a_late_tick_does_not_put_off_the_next();
    test_where_many_packets_come_each_waits_half_as_long();
    test_without_calls_it_sleeps_until_it_is_woken();
    test_the_totals_are_told_before_it_sleeps_for_long();
    test_what_happened_in_a_tick_is_told_once_behind_it();
    test_commands_beyond_the_rings_room_are_refused();
    test_commands_for_what_is_gone_do_nothing();
    puts("ok");
    return 0;
}
