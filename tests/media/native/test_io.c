/* io_epoll.c and io_uring.c on real sockets: however many are opened before the first wait, each of them is read; and
 * where the kernel takes nothing for a while (EAGAIN, EBUSY) nothing is forgotten but what was to be sent.
 *
 * Compiled by tests/media/native/test_core.py with `syscall` replaced by failing_syscall().
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../../../media/native/core.h"
#include "check.h"
#include "sockets.h"

#define ENDPOINTS 2100 /* two receives each: more than fit into io_uring's queue at once */
#define AT_ONCE 50
#define PATIENCE 30000 /* ticks: a minute */
#define FULL 5000 /* more requests than io_uring's queue has room for */

#undef syscall
long syscall(long number, ...);

static bool failing; /* io_uring_enter takes nothing */
static bool lacking; /* there is no io_uring, or it is forbidden */

long failing_syscall(long number, ...)
{
    long given[6] = {0};
    int count = number == SYS_io_uring_enter ? 6 : number == SYS_io_uring_register ? 4 : 2;
    va_list arguments;
    va_start(arguments, number);
    for (int i = 0; i < count; i++)
        given[i] = va_arg(arguments, long);
    va_end(arguments);
    if (number == SYS_io_uring_setup && lacking) {
        errno = ENOSYS;
        return -1;
    }
    if (number == SYS_io_uring_enter && failing) {
        errno = EAGAIN;
        return -1;
    }
    return syscall(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}

static bool heard[ENDPOINTS];
static uint32_t heard_count;
static union address addresses[ENDPOINTS];

int64_t clock_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND_NS + time.tv_nsec;
}

void endpoint_receive(struct worker *worker, uint32_t slot, bool rtcp, uint8_t *data, size_t length,
                      const union address *from)
{
    CHECK(!worker && (rtcp || !rtcp) && data && length == 3 && from && slot < ENDPOINTS && !heard[slot]);
    heard[slot] = true;
    heard_count++;
}

static int bound_at(union address *address)
{
    uint16_t port;
    int fd = bound(&port);
    *address = local(port);
    return fd;
}

static void listen_for(struct io *io)
{
    io_wait(io, clock_ns() + TICK_NS);
    io_receive(io, NULL);
}

static void forget_heard(void)
{
    memset(heard, 0, sizeof heard);
    heard_count = 0;
}

static void wait_heard(struct io *io, uint32_t count)
{
    for (int tick = 0; tick < PATIENCE && heard_count < count; tick++)
        listen_for(io);
    CHECK(heard_count == count);
}

/* Sends a packet to each of the first `count`, few at once as the kernel may deliver them late, until all are read. */
static void check_heard(struct io *io, uint32_t count)
{
    int sender = socket(AF_INET, SOCK_DGRAM, 0);
    for (uint32_t slot = 0; slot < count; slot++) {
        CHECK(sendto(sender, "abc", 3, 0, &addresses[slot].any, sizeof addresses[slot].v4) == 3);
        if (slot % AT_ONCE == AT_ONCE - 1)
            wait_heard(io, slot + 1);
    }
    wait_heard(io, count);
    close(sender);
}

static void open_all(struct io *io, uint32_t count)
{
    for (uint32_t slot = 0; slot < count; slot++) {
        int fd = bound_at(&addresses[slot]);
        CHECK(io_open(io, slot, fd, dup(fd)));
    }
}

static void close_all(struct io *io, uint32_t count)
{
    for (uint32_t slot = 0; slot < count; slot++)
        io_close(io, slot);
}

static void test_what_the_kernel_does_not_take_at_once_is_not_forgotten(void)
{
    static const uint8_t packet[] = {1, 2, 3};
    int wake_fd = eventfd(0, EFD_NONBLOCK);
    struct io *io = io_create(ENDPOINTS, wake_fd, "uring");
    if (!io)
        return;
    forget_heard();
    failing = true;
    open_all(io, ENDPOINTS);
    failing = false;
    check_heard(io, ENDPOINTS);
    close_all(io, ENDPOINTS);

    forget_heard();
    failing = true;
    open_all(io, AT_ONCE);
    union address to;
    int other = bound_at(&to);
    for (int i = 0; i < FULL; i++)
        io_send(io, 0, false, packet, sizeof packet, &to);
    listen_for(io);
    failing = false;
    check_heard(io, AT_ONCE);

    for (uint32_t slot = 0; slot < 2; slot++) { /* the second time with a queue that is full */
        failing = true;
        for (int i = 0; i < FULL && slot; i++)
            io_send(io, 2, false, packet, sizeof packet, &to);
        io_close(io, slot);
        failing = false;
        listen_for(io);
        int again = socket(AF_INET, SOCK_DGRAM, 0);
        CHECK(bind(again, &addresses[slot].any, sizeof addresses[slot].v4) == 0);
        close(again);
    }
    close(other);
    for (uint32_t slot = 2; slot < AT_ONCE; slot++)
        io_close(io, slot);
    io_destroy(io);
    close(wake_fd);
}

/* The next socket has the number of the last. */
static void test_what_waits_for_the_kernel_goes_by_no_later_socket(void)
{
    static const uint8_t packet[] = {1, 2, 3};
    uint8_t arrived[sizeof packet];
    int wake_fd = eventfd(0, EFD_NONBLOCK);
    struct io *io = io_create(ENDPOINTS, wake_fd, "uring");
    if (!io)
        return;
    union address to;
    int other = bound_at(&to);
    open_all(io, 1);
    forget_heard();
    check_heard(io, 1);
    failing = true;
    io_send(io, 0, false, packet, sizeof packet, &to);
    io_close(io, 0);
    open_all(io, 1);
    failing = false;
    forget_heard();
    check_heard(io, 1);
    CHECK(recv(other, arrived, sizeof arrived, MSG_DONTWAIT) < 0);
    io_close(io, 0);
    io_destroy(io);
    close(other);
    close(wake_fd);
}

static void test_all_that_were_opened_before_the_first_wait_are_heard(const char *kind)
{
    int wake_fd = eventfd(0, EFD_NONBLOCK);
    struct io *io = io_create(ENDPOINTS, wake_fd, kind);
    if (!io) /* this kernel lacks it */
        return;
    forget_heard();
    open_all(io, ENDPOINTS);
    check_heard(io, ENDPOINTS);
    close_all(io, ENDPOINTS);
    io_destroy(io);
    close(wake_fd);
}

static void send_to(const union address *to, size_t length)
{
    static const uint8_t packet[3000];
    int sender = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(sendto(sender, packet, length, 0, &to->any, sizeof to->v4) == (ssize_t)length);
    close(sender);
}

/* What arrives meanwhile waits in the kernel, as far as it has room, and the others are read. */
static void test_nothing_is_read_of_a_port_that_is_paused(const char *kind)
{
    int wake_fd = eventfd(0, EFD_NONBLOCK);
    struct io *io = io_create(2, wake_fd, kind);
    if (!io)
        return;
    forget_heard();
    open_all(io, 2);
    listen_for(io);
    io_pause(io, 0, true);
    for (int tick = 0; tick < 5; tick++)
        listen_for(io);
    send_to(&addresses[0], 3);
    send_to(&addresses[1], 3);
    wait_heard(io, 1);
    for (int tick = 0; tick < 5; tick++)
        listen_for(io);
    CHECK(heard[1] && !heard[0]);
    io_pause(io, 0, false);
    wait_heard(io, 2);
    close_all(io, 2);
    io_destroy(io);
    close(wake_fd);
}

/* A storm that is over when the sweep begins: what the kernel was to cancel, and has not yet, is read again all the same. */
static void test_a_port_that_is_paused_for_no_time_is_read_again(const char *kind)
{
    int wake_fd = eventfd(0, EFD_NONBLOCK);
    struct io *io = io_create(1, wake_fd, kind);
    if (!io)
        return;
    open_all(io, 1);
    for (int again = 0; again < 3; again++) {
        forget_heard();
        check_heard(io, 1);
        io_pause(io, 0, true);
        io_pause(io, 0, false);
    }
    close_all(io, 1);
    io_destroy(io);
    close(wake_fd);
}

/* Its packet has come, and nobody has looked at it: whoever has the slot next is somebody else. */
static void test_what_came_for_a_port_that_is_closed_is_not_heard_by_the_next(const char *kind)
{
    int wake_fd = eventfd(0, EFD_NONBLOCK);
    struct io *io = io_create(1, wake_fd, kind);
    if (!io)
        return;
    open_all(io, 1);
    for (int again = 0; again < 5; again++) {
        forget_heard();
        check_heard(io, 1);
        send_to(&addresses[0], 3);
        io_wait(io, clock_ns() + TICK_NS);
        io_close(io, 0);
        open_all(io, 1);
        forget_heard();
        listen_for(io);
        CHECK(heard_count == 0);
    }
    check_heard(io, 1);
    close_all(io, 1);
    io_destroy(io);
    close(wake_fd);
}

/* Each time, and by one wake-up once: the alarm ends a sleep that would last for ever. */
static void test_who_sleeps_is_woken_again_and_again(const char *kind)
{
    int wake_fd = eventfd(0, EFD_NONBLOCK);
    struct io *io = io_create(1, wake_fd, kind);
    if (!io)
        return;
    alarm(60);
    for (int again = 0; again < 5; again++) {
        eventfd_t left;
        eventfd_write(wake_fd, 1);
        io_wait(io, -1);
        io_receive(io, NULL);
        CHECK(eventfd_read(wake_fd, &left) < 0 && errno == EAGAIN);
    }
    alarm(0);
    io_destroy(io);
    close(wake_fd);
}

/* What arrives waits for its tick, for a wake-up costs as much as a packet; and where nothing is taken it sleeps too. */
static void test_it_sleeps_no_shorter_than_until_its_tick(const char *kind)
{
    int wake_fd = eventfd(0, EFD_NONBLOCK);
    struct io *io = io_create(1, wake_fd, kind);
    if (!io)
        return;
    open_all(io, 1);
    forget_heard();
    check_heard(io, 1);
    forget_heard();
    send_to(&addresses[0], 3);
    eventfd_write(wake_fd, 1);
    int64_t until = clock_ns() + 10 * TICK_NS;
    io_wait(io, until);
    CHECK(clock_ns() >= until);
    wait_heard(io, 1);
    int64_t began = clock_ns();
    failing = true;
    io_wait(io, began + TICK_NS);
    failing = false;
    CHECK(clock_ns() >= began + TICK_NS);
    close_all(io, 1);
    io_destroy(io);
    close(wake_fd);
}

/* A part of a packet is none: endpoint_receive() would be given other bytes than were sent. */
static void test_packets_too_long_for_us_are_dropped_whole(const char *kind)
{
    int wake_fd = eventfd(0, EFD_NONBLOCK);
    struct io *io = io_create(1, wake_fd, kind);
    if (!io)
        return;
    forget_heard();
    open_all(io, 1);
    for (int tick = 0; tick < 8; tick++) { /* after a pause read singly, then several at once */
        for (int i = 0; i < 3 && tick > 2; i++)
            send_to(&addresses[0], 3000);
        listen_for(io);
    }
    CHECK(heard_count == 0);
    send_to(&addresses[0], 3);
    wait_heard(io, 1);
    close_all(io, 1);
    io_destroy(io);
    close(wake_fd);
}

static const char *chosen(const char *name)
{
    int wake_fd = eventfd(0, EFD_NONBLOCK);
    struct io *io = io_create(1, wake_fd, name);
    const char *kind = io ? io->kind->name : "none";
    if (io)
        io_destroy(io);
    close(wake_fd);
    return kind;
}

static void test_io_uring_is_chosen_where_the_kernel_has_it_and_epoll_where_it_has_not(void)
{
    bool here = strcmp(chosen("uring"), "none");
    CHECK(!strcmp(chosen("auto"), here ? "uring" : "epoll") && !strcmp(chosen("epoll"), "epoll"));
    CHECK(!strcmp(chosen("another"), "none"));
    lacking = true;
    CHECK(!strcmp(chosen("auto"), "epoll") && !strcmp(chosen("uring"), "none"));
    lacking = false;
}

int main(void)
{
    static const char *const kinds[] = {"epoll", "uring"};
    test_io_uring_is_chosen_where_the_kernel_has_it_and_epoll_where_it_has_not();
    for (int i = 0; i < 2; i++) {
        test_nothing_is_read_of_a_port_that_is_paused(kinds[i]);
        test_packets_too_long_for_us_are_dropped_whole(kinds[i]);
        test_a_port_that_is_paused_for_no_time_is_read_again(kinds[i]);
        test_what_came_for_a_port_that_is_closed_is_not_heard_by_the_next(kinds[i]);
        test_who_sleeps_is_woken_again_and_again(kinds[i]);
        test_it_sleeps_no_shorter_than_until_its_tick(kinds[i]);
    }
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max > 2 * ENDPOINTS + 100) {
        test_all_that_were_opened_before_the_first_wait_are_heard("epoll");
        test_all_that_were_opened_before_the_first_wait_are_heard("uring");
        test_what_the_kernel_does_not_take_at_once_is_not_forgotten();
        test_what_waits_for_the_kernel_goes_by_no_later_socket();
    }
    puts("ok");
    return 0;
}
