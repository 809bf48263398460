/* io_epoll.c and io_uring.c on real sockets: however many are opened before the first wait, each of them is read. */
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "../../../media/native/core.h"
#include "check.h"

#define ENDPOINTS 2100 /* two receives each: more than fit into io_uring's queue at once */
#define AT_ONCE 50

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

static int bound(union address *address)
{
    *address = (union address){.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address->v4;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    CHECK(fd >= 0 && bind(fd, &address->any, length) == 0 && getsockname(fd, &address->any, &length) == 0);
    return fd;
}

static void listen_for(struct io *io)
{
    io_wait(io, clock_ns() + TICK_NS);
    io_receive(io, NULL);
}

static void test_all_that_were_opened_before_the_first_wait_are_heard(const char *kind)
{
    int wake_fd = eventfd(0, EFD_NONBLOCK), sender = socket(AF_INET, SOCK_DGRAM, 0);
    struct io *io = io_create(ENDPOINTS, wake_fd, kind);
    if (!io) /* this kernel lacks it */
        return;
    memset(heard, 0, sizeof heard);
    heard_count = 0;
    for (uint32_t slot = 0; slot < ENDPOINTS; slot++) {
        int fd = bound(&addresses[slot]);
        CHECK(io_open(io, slot, fd, dup(fd)));
    }
    for (uint32_t slot = 0; slot < ENDPOINTS; slot++) {
        CHECK(sendto(sender, "abc", 3, 0, &addresses[slot].any, sizeof addresses[slot].v4) == 3);
        if (slot % AT_ONCE == AT_ONCE - 1)
            listen_for(io);
    }
    for (int tick = 0; tick < 1000 && heard_count < ENDPOINTS; tick++)
        listen_for(io);
    CHECK(heard_count == ENDPOINTS);
    for (uint32_t slot = 0; slot < ENDPOINTS; slot++)
        io_close(io, slot);
    io_destroy(io);
    close(wake_fd);
    close(sender);
}

int main(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max > 2 * ENDPOINTS + 100) {
        test_all_that_were_opened_before_the_first_wait_are_heard("epoll");
        test_all_that_were_opened_before_the_first_wait_are_heard("uring");
    }
    puts("ok");
    return 0;
}
