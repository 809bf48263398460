/* Sockets by epoll: looked at once a tick, so that a packet costs no wake-up of its own.
 *
 * A socket seldom has two packets within a tick, so one is read by recvfrom, which costs least; where there was one the
 * tick before too, what has piled up is read by recvmmsg. Sends are single: the packets of a tick go out by as many
 * sockets, and sendmmsg knows one only.
 */
#define _GNU_SOURCE /* recvmmsg */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core.h"

#define BATCH 1024
#define READ_AT_ONCE 16

struct epoll_io {
    struct io io;
    int epoll_fd, wake_fd;
    int (*fds)[2];
    uint32_t tick, (*read_at)[2]; /* when a socket was last read */
    struct mmsghdr messages[READ_AT_ONCE];
    struct iovec places[READ_AT_ONCE];
    union address from[READ_AT_ONCE];
    uint8_t packets[READ_AT_ONCE][MAX_PACKET + SRTP_ROOM];
    uint8_t scratch[MAX_PACKET + SRTP_ROOM];
    struct epoll_event ready[BATCH];
};

static void epoll_prepare(struct epoll_io *self)
{
    for (int i = 0; i < READ_AT_ONCE; i++) {
        self->places[i] = (struct iovec){self->packets[i], MAX_PACKET};
        self->messages[i].msg_hdr = (struct msghdr){.msg_name = &self->from[i], .msg_iov = &self->places[i], .msg_iovlen = 1};
    }
}

static void epoll_destroy(struct io *io)
{
    struct epoll_io *self = (struct epoll_io *)io;
    if (self->epoll_fd >= 0)
        close(self->epoll_fd);
    free(self->fds);
    free(self->read_at);
    free(self);
}

static struct io *epoll_create_io(uint32_t capacity, int wake_fd)
{
    struct epoll_io *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    self->wake_fd = wake_fd;
    self->fds = calloc(capacity, sizeof *self->fds);
    self->read_at = calloc(capacity, sizeof *self->read_at);
    epoll_prepare(self);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = UINT64_MAX};
    if (self->epoll_fd < 0 || !self->fds || !self->read_at || epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, wake_fd, &event) < 0) {
        epoll_destroy(&self->io);
        return NULL;
    }
    return &self->io;
}

static bool epoll_open(struct io *io, uint32_t slot, int rtp_fd, int rtcp_fd)
{
    struct epoll_io *self = (struct epoll_io *)io;
    self->fds[slot][0] = rtp_fd;
    self->fds[slot][1] = rtcp_fd;
    for (uint32_t i = 0; i < 2; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = slot << 1 | i};
        if (epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, self->fds[slot][i], &event) < 0)
            return false;
    }
    return true;
}

static void epoll_close(struct io *io, uint32_t slot)
{
    struct epoll_io *self = (struct epoll_io *)io;
    close(self->fds[slot][0]);
    close(self->fds[slot][1]);
}

static void epoll_sleep(struct io *io, int64_t until)
{
    struct epoll_io *self = (struct epoll_io *)io;
    if (until < 0) {
        struct epoll_event event;
        epoll_wait(self->epoll_fd, &event, 1, -1);
        return;
    }
    struct timespec time = {.tv_sec = until / SECOND_NS, .tv_nsec = until % SECOND_NS};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR)
        ;
}

static void epoll_read_one(struct epoll_io *self, struct worker *worker, int fd, uint64_t source)
{
    socklen_t from_length = sizeof self->from[0];
    ssize_t length = recvfrom(fd, self->packets[0], MAX_PACKET, MSG_DONTWAIT | MSG_TRUNC, &self->from[0].any, &from_length);
    if (length >= 0 && length <= MAX_PACKET)
        endpoint_receive(worker, (uint32_t)(source >> 1), source & 1, self->packets[0], (size_t)length, &self->from[0]);
}

static void epoll_read_many(struct epoll_io *self, struct worker *worker, int fd, uint64_t source)
{
    for (int i = 0; i < READ_AT_ONCE; i++)
        self->messages[i].msg_hdr.msg_namelen = sizeof(union address);
    int count = recvmmsg(fd, self->messages, READ_AT_ONCE, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++)
        if (!(self->messages[i].msg_hdr.msg_flags & MSG_TRUNC))
            endpoint_receive(worker, (uint32_t)(source >> 1), source & 1, self->packets[i], self->messages[i].msg_len,
                             &self->from[i]);
}

static void epoll_read(struct epoll_io *self, struct worker *worker, uint64_t source)
{
    int fd = self->fds[source >> 1][source & 1];
    uint32_t *read_at = &self->read_at[source >> 1][source & 1];
    bool again = *read_at + 1 == self->tick;
    *read_at = self->tick;
    (again ? epoll_read_many : epoll_read_one)(self, worker, fd, source);
}

static void epoll_receive(struct io *io, struct worker *worker)
{
    struct epoll_io *self = (struct epoll_io *)io;
    int count = epoll_wait(self->epoll_fd, self->ready, BATCH, 0);
    eventfd_t wakes;
    self->tick++;
    for (int i = 0; i < count; i++) {
        if (self->ready[i].data.u64 == UINT64_MAX)
            eventfd_read(self->wake_fd, &wakes);
        else
            epoll_read(self, worker, self->ready[i].data.u64);
    }
}

static uint8_t *epoll_scratch(struct io *io)
{
    return ((struct epoll_io *)io)->scratch;
}

/* A full socket buffer loses the packet, as the network would. */
static void epoll_send(struct io *io, uint32_t slot, bool rtcp, const uint8_t *data, size_t length,
                       const union address *to)
{
    struct epoll_io *self = (struct epoll_io *)io;
    sendto(self->fds[slot][rtcp], data, length, MSG_DONTWAIT, &to->any, address_length(to));
}

static void epoll_pause(struct io *io, uint32_t slot, bool paused)
{
    struct epoll_io *self = (struct epoll_io *)io;
    for (uint32_t i = 0; i < 2; i++) {
        struct epoll_event event = {.events = paused ? 0 : EPOLLIN, .data.u64 = slot << 1 | i};
        epoll_ctl(self->epoll_fd, EPOLL_CTL_MOD, self->fds[slot][i], &event);
    }
}

const struct io_kind io_epoll = {
    .name = "epoll",
    .create = epoll_create_io,
    .destroy = epoll_destroy,
    .open = epoll_open,
    .close = epoll_close,
    .wait = epoll_sleep,
    .receive = epoll_receive,
    .scratch = epoll_scratch,
    .send = epoll_send,
    .pause = epoll_pause,
};
