/* Sockets by epoll: looked at once a tick, so that a packet costs no wake-up of its own. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core.h"

#define BATCH 1024

struct io {
    int epoll_fd, wake_fd;
    int (*fds)[2];
    uint8_t packet[2 * MAX_PACKET];
    uint8_t scratch[MAX_PACKET];
    struct epoll_event ready[BATCH];
};

struct io *io_create(uint32_t capacity, int wake_fd, const char *kind)
{
    (void)kind;
    struct io *io = calloc(1, sizeof *io);
    if (!io)
        return NULL;
    io->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    io->wake_fd = wake_fd;
    io->fds = calloc(capacity, sizeof *io->fds);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = UINT64_MAX};
    if (io->epoll_fd < 0 || !io->fds || epoll_ctl(io->epoll_fd, EPOLL_CTL_ADD, wake_fd, &event) < 0)
        return NULL;
    return io;
}

void io_destroy(struct io *io)
{
    close(io->epoll_fd);
    free(io->fds);
    free(io);
}

bool io_open(struct io *io, uint32_t slot, int rtp_fd, int rtcp_fd)
{
    io->fds[slot][0] = rtp_fd;
    io->fds[slot][1] = rtcp_fd;
    for (uint32_t i = 0; i < 2; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = slot << 1 | i};
        if (epoll_ctl(io->epoll_fd, EPOLL_CTL_ADD, io->fds[slot][i], &event) < 0)
            return false;
    }
    return true;
}

void io_close(struct io *io, uint32_t slot)
{
    close(io->fds[slot][0]);
    close(io->fds[slot][1]);
}

void io_wait(struct io *io, int64_t until)
{
    if (until < 0) {
        struct epoll_event event;
        epoll_wait(io->epoll_fd, &event, 1, -1);
        return;
    }
    struct timespec time = {.tv_sec = until / SECOND_NS, .tv_nsec = until % SECOND_NS};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR)
        ;
}

static void io_read(struct io *io, struct worker *worker, uint64_t source)
{
    struct sockaddr_in from;
    socklen_t from_length = sizeof from;
    int fd = io->fds[source >> 1][source & 1];
    ssize_t length = recvfrom(fd, io->packet, MAX_PACKET, MSG_DONTWAIT, (struct sockaddr *)&from, &from_length);
    if (length >= 0)
        endpoint_receive(worker, (uint32_t)(source >> 1), source & 1, io->packet, (size_t)length, &from);
}

void io_receive(struct io *io, struct worker *worker)
{
    int count = epoll_wait(io->epoll_fd, io->ready, BATCH, 0);
    eventfd_t wakes;
    for (int i = 0; i < count; i++) {
        if (io->ready[i].data.u64 == UINT64_MAX)
            eventfd_read(io->wake_fd, &wakes);
        else
            io_read(io, worker, io->ready[i].data.u64);
    }
}

uint8_t *io_scratch(struct io *io)
{
    return io->scratch;
}

/* A full socket buffer loses the packet, as the network would. */
void io_send(struct io *io, uint32_t slot, bool rtcp, const uint8_t *data, size_t length, const struct sockaddr_in *to)
{
    sendto(io->fds[slot][rtcp], data, length, MSG_DONTWAIT, (const struct sockaddr *)to, sizeof *to);
}

void io_flush(struct io *io)
{
    (void)io;
}
